/* A device behind two windows of 32-bit words: one that the host only writes, and one that it only reads.
 *
 * A call is written field by field; writing its operation executes it. The device then shows WINDOW_BUSY as its status
 * until it has done what a call has to wait for, and the call's cyclecast_status from then on. */
#ifndef CYCLECAST_WINDOWS_H
#define CYCLECAST_WINDOWS_H

#include "cyclecast_device.h"

enum {                    /* words of the write-only window */
    WINDOW_RESET = 0,     /* any value: all arrays in the state WRITE and unwritten, all counters 0 */
    WINDOW_OPERATION = 1, /* a cyclecast_operation: execute the call */
    WINDOW_SLOT = 2,
    WINDOW_COUNT = 3,
    WINDOW_FILTERS = 4,
    WINDOW_DATA = 5,  /* the next value of the call, two's complement */
    WINDOW_DEPTH = 6, /* of the place */
    WINDOW_PLACE = 7  /* CYCLECAST_LEVELS words: its indices */
};

enum {                  /* words of the read-only window */
    WINDOW_VERSION = 0, /* CYCLECAST_VERSION */
    WINDOW_STATUS = 1,
    WINDOW_SUM_LOW = 2,  /* of the next sum that was received */
    WINDOW_SUM_HIGH = 3, /* reading it goes on to the one after it */
    WINDOW_COUNTERS = 4  /* the fields of cyclecast_counters, a low and a high word each */
};

#define WINDOW_BUSY 0xffffffffu
#define WINDOW_COUNTER_WORDS (2 * sizeof(cyclecast_counters) / sizeof(uint64_t))

/* How the host reaches the windows. Define CYCLECAST_WRITE_WINDOW and CYCLECAST_READ_WINDOW as their addresses to have
 * both done by volatile words, or write the two functions for your bus; cyclecast_mock.c has them for tests. */
void cyclecast_window_write(uint32_t word, uint32_t value);
uint32_t cyclecast_window_read(uint32_t word);

#endif
