/* The driver of a device behind two windows: a start for your own. */
#include "cyclecast_windows.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef CYCLECAST_MOST_POLLS
#define CYCLECAST_MOST_POLLS 100000000ul /* before a device that stays busy counts as broken */
#endif

#ifdef CYCLECAST_WRITE_WINDOW
void cyclecast_window_write(uint32_t word, uint32_t value)
{
    ((volatile uint32_t *)CYCLECAST_WRITE_WINDOW)[word] = value;
}

uint32_t cyclecast_window_read(uint32_t word)
{
    return ((const volatile uint32_t *)CYCLECAST_READ_WINDOW)[word];
}
#endif

typedef struct {
    cyclecast_device base;
    cyclecast_counters counters;
} windows;

static cyclecast_status hardware(cyclecast_device *device, const char *what, unsigned long value)
{
    snprintf(device->message, sizeof device->message, "%s: %lu", what, value);
    return CYCLECAST_HARDWARE;
}

static cyclecast_status answer(cyclecast_device *device)
{
    uint32_t status = WINDOW_BUSY;
    for (unsigned long polls = 0; status == WINDOW_BUSY && polls < CYCLECAST_MOST_POLLS; ++polls) {
        status = cyclecast_window_read(WINDOW_STATUS);
    }
    if (status == WINDOW_BUSY) {
        return hardware(device, "the device stays busy; polls", CYCLECAST_MOST_POLLS);
    }
    if (status > CYCLECAST_HARDWARE) {
        return hardware(device, "the device answers with a status that there is not", status);
    }
    if (status != CYCLECAST_OK) {
        snprintf(device->message, sizeof device->message, "the device refuses the call with status %lu",
            (unsigned long)status);
    }
    return (cyclecast_status)status;
}

static cyclecast_status refuse(cyclecast_device *device, const char *why)
{
    snprintf(device->message, sizeof device->message, "%s", why);
    return CYCLECAST_RANGE;
}

/* Check what the device cannot check. */
static cyclecast_status check(cyclecast_device *device, const cyclecast_call *call)
{
    const int given = call->operation == CYCLECAST_PROGRAM || call->operation == CYCLECAST_SEND;
    const int taken = call->operation == CYCLECAST_RECEIVE;
    if (call->place.depth > CYCLECAST_LEVELS) {
        return refuse(device, "a place of more indices than there can be levels");
    }
    if ((given && call->values == NULL) || (taken && call->sums == NULL)) {
        return refuse(device, "there are no values, or there is no place for sums");
    }
    if (given && call->count > device->parameters.rows) {
        return refuse(device, "more word lines than an array has");
    }
    if ((taken && call->count > device->parameters.columns) ||
        (call->operation == CYCLECAST_PROGRAM && call->filters > device->parameters.columns)) {
        return refuse(device, "more filters than an array has bit lines");
    }
    return CYCLECAST_OK;
}

static cyclecast_status execute(cyclecast_device *device, const cyclecast_call *call)
{
    const uint64_t values = call->operation == CYCLECAST_PROGRAM ? (uint64_t)call->count * call->filters
                            : call->operation == CYCLECAST_SEND  ? call->count
                                                                 : 0;
    cyclecast_status status = check(device, call);
    if (status != CYCLECAST_OK || call->operation == CYCLECAST_BEGIN) {
        return status;
    }
    cyclecast_window_write(WINDOW_DEPTH, call->place.depth);
    for (uint32_t level = 0; level < call->place.depth && level < CYCLECAST_LEVELS; ++level) {
        cyclecast_window_write(WINDOW_PLACE + level, call->place.at[level]);
    }
    cyclecast_window_write(WINDOW_SLOT, call->slot);
    cyclecast_window_write(WINDOW_COUNT, call->count);
    cyclecast_window_write(WINDOW_FILTERS, call->filters);
    for (uint64_t place = 0; place < values; ++place) {
        cyclecast_window_write(WINDOW_DATA, (uint32_t)call->values[place]);
    }
    cyclecast_window_write(WINDOW_OPERATION, (uint32_t)call->operation);
    status = answer(device);
    for (uint32_t place = 0; status == CYCLECAST_OK && call->operation == CYCLECAST_RECEIVE && place < call->count;
         ++place) {
        const uint64_t low = cyclecast_window_read(WINDOW_SUM_LOW), high = cyclecast_window_read(WINDOW_SUM_HIGH);
        call->sums[place] = (int64_t)(high << 32 | low);
    }
    return status;
}

static const cyclecast_counters *counters(cyclecast_device *device)
{
    windows *const w = (windows *)device;
    uint64_t *const fields = (uint64_t *)&w->counters;
    for (uint32_t word = 0; word < WINDOW_COUNTER_WORDS; word += 2) {
        const uint64_t low = cyclecast_window_read(WINDOW_COUNTERS + word);
        fields[word / 2] = (uint64_t)cyclecast_window_read(WINDOW_COUNTERS + word + 1) << 32 | low;
    }
    return &w->counters;
}

static void close_windows(cyclecast_device *device)
{
    cyclecast_window_write(WINDOW_RESET, 0);
    free(device);
}

static const cyclecast_driver DRIVER = {execute, counters, close_windows};

cyclecast_status cyclecast_open(const cyclecast_parameters *parameters, cyclecast_device **device)
{
    windows *w = NULL;
    *device = NULL;
    if (cyclecast_window_read(WINDOW_VERSION) != CYCLECAST_VERSION) {
        return CYCLECAST_HARDWARE;
    }
    w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CYCLECAST_MEMORY;
    }
    w->base.driver = &DRIVER;
    w->base.parameters = *parameters;
    cyclecast_window_write(WINDOW_RESET, 0);
    *device = &w->base;
    return CYCLECAST_OK;
}
