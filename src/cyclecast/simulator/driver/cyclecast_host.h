/* What generated host functions need besides <math.h>. */
#ifndef CYCLECAST_HOST_H
#define CYCLECAST_HOST_H

#include "cyclecast_device.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Return the status of a call that fails. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        const cyclecast_status try_status = (call);                                                                    \
        if (try_status != CYCLECAST_OK) {                                                                              \
            return try_status;                                                                                         \
        }                                                                                                              \
    } while (0)

static inline float max_f32(float left, float right)
{
    return left > right ? left : right;
}

static inline float min_f32(float left, float right)
{
    return left < right ? left : right;
}

static inline double max_f64(double left, double right)
{
    return left > right ? left : right;
}

static inline double min_f64(double left, double right)
{
    return left < right ? left : right;
}

static inline int32_t max_i32(int32_t left, int32_t right)
{
    return left > right ? left : right;
}

static inline int32_t min_i32(int32_t left, int32_t right)
{
    return left < right ? left : right;
}

static inline int64_t max_i64(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static inline int64_t min_i64(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

static inline uint64_t max_u64(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

static inline uint64_t min_u64(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

#endif
