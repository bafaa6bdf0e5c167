/* Helpers of generated host functions. */
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

/* Quotients and remainders for all divisors: by 0 both are 0, and the smallest integer divided by -1 is itself. div and
 * mod round towards zero as in C, floor_div and floor_mod round down. */
#define CYCLECAST_DIVISION_OF(kind, type, least)                                                                       \
    static inline type div_##kind(type left, type right)                                                               \
    {                                                                                                                  \
        return right == 0 ? 0 : left == (least) && right == (type)-1 ? left : left / right;                            \
    }                                                                                                                  \
    static inline type mod_##kind(type left, type right)                                                               \
    {                                                                                                                  \
        return right == 0 || right == (type)-1 ? 0 : left % right;                                                     \
    }                                                                                                                  \
    static inline type floor_mod_##kind(type left, type right)                                                         \
    {                                                                                                                  \
        const type rest = mod_##kind(left, right);                                                                     \
        return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;                                           \
    }                                                                                                                  \
    static inline type floor_div_##kind(type left, type right)                                                         \
    {                                                                                                                  \
        return div_##kind(left, right) - (floor_mod_##kind(left, right) != mod_##kind(left, right));                   \
    }

CYCLECAST_DIVISION_OF(i32, int32_t, INT32_MIN)
CYCLECAST_DIVISION_OF(i64, int64_t, INT64_MIN)

#undef CYCLECAST_DIVISION_OF

#define CYCLECAST_DIVISION_OF(kind, type)                                                                              \
    static inline type div_##kind(type left, type right)                                                               \
    {                                                                                                                  \
        return right == 0 ? 0 : left / right;                                                                          \
    }                                                                                                                  \
    static inline type mod_##kind(type left, type right)                                                               \
    {                                                                                                                  \
        return right == 0 ? 0 : left % right;                                                                          \
    }                                                                                                                  \
    static inline type floor_div_##kind(type left, type right)                                                         \
    {                                                                                                                  \
        return div_##kind(left, right);                                                                                \
    }                                                                                                                  \
    static inline type floor_mod_##kind(type left, type right)                                                         \
    {                                                                                                                  \
        return mod_##kind(left, right);                                                                                \
    }

CYCLECAST_DIVISION_OF(u32, uint32_t)
CYCLECAST_DIVISION_OF(u64, uint64_t)

#undef CYCLECAST_DIVISION_OF

/* A real number as an integer: rounded towards zero, clamped to the type's range, 0 for NaN. `end` is the power of two
 * after the largest integer; both real types hold it. */
#define CYCLECAST_INTEGER_OF(name, to, from, least, most, end)                                                         \
    static inline to name(from value)                                                                                  \
    {                                                                                                                  \
        if (value >= (from)(least)) {                                                                                  \
            return value < (from)(end) ? (to)value : most;                                                             \
        }                                                                                                              \
        return isnan(value) ? 0 : least;                                                                               \
    }

CYCLECAST_INTEGER_OF(int8_of_f32, int8_t, float, INT8_MIN, INT8_MAX, 128.0)
CYCLECAST_INTEGER_OF(int8_of_f64, int8_t, double, INT8_MIN, INT8_MAX, 128.0)
CYCLECAST_INTEGER_OF(int16_of_f32, int16_t, float, INT16_MIN, INT16_MAX, 32768.0)
CYCLECAST_INTEGER_OF(int16_of_f64, int16_t, double, INT16_MIN, INT16_MAX, 32768.0)
CYCLECAST_INTEGER_OF(int32_of_f32, int32_t, float, INT32_MIN, INT32_MAX, 2147483648.0)
CYCLECAST_INTEGER_OF(int32_of_f64, int32_t, double, INT32_MIN, INT32_MAX, 2147483648.0)
CYCLECAST_INTEGER_OF(int64_of_f32, int64_t, float, INT64_MIN, INT64_MAX, 9223372036854775808.0)
CYCLECAST_INTEGER_OF(int64_of_f64, int64_t, double, INT64_MIN, INT64_MAX, 9223372036854775808.0)
CYCLECAST_INTEGER_OF(uint8_of_f32, uint8_t, float, 0, UINT8_MAX, 256.0)
CYCLECAST_INTEGER_OF(uint8_of_f64, uint8_t, double, 0, UINT8_MAX, 256.0)
CYCLECAST_INTEGER_OF(uint16_of_f32, uint16_t, float, 0, UINT16_MAX, 65536.0)
CYCLECAST_INTEGER_OF(uint16_of_f64, uint16_t, double, 0, UINT16_MAX, 65536.0)
CYCLECAST_INTEGER_OF(uint32_of_f32, uint32_t, float, 0, UINT32_MAX, 4294967296.0)
CYCLECAST_INTEGER_OF(uint32_of_f64, uint32_t, double, 0, UINT32_MAX, 4294967296.0)
CYCLECAST_INTEGER_OF(uint64_of_f32, uint64_t, float, 0, UINT64_MAX, 18446744073709551616.0)
CYCLECAST_INTEGER_OF(uint64_of_f64, uint64_t, double, 0, UINT64_MAX, 18446744073709551616.0)

#undef CYCLECAST_INTEGER_OF

#endif
