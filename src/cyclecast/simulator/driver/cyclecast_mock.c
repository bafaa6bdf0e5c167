/* The device's side of the two windows, for tests on a host: the behaviour model, one word at a time. */
#include "cyclecast_reference.h"
#include "cyclecast_windows.h"
#include "network.h"

#include <stdlib.h>
#include <string.h>

static struct {
    cyclecast_device *device;
    cyclecast_call call;
    cyclecast_status status;
    int32_t *values;
    int64_t *sums;
    uint64_t written;   /* values of the call so far */
    uint64_t capacity;  /* of `values` */
    uint32_t available; /* sums that were received */
    uint32_t read;      /* of these */
    uint32_t polls;     /* until the device is no longer busy */
    int overflown;      /* more values than the largest call has, or than memory */
} mock;

static void reset(void)
{
    cyclecast_close(mock.device);
    free(mock.values);
    free(mock.sums);
    memset(&mock, 0, sizeof mock);
}

static void append(uint32_t value)
{
    if (mock.written >= (uint64_t)network_device.rows * network_device.columns) {
        mock.overflown = 1;
        return;
    }
    if (mock.written == mock.capacity) {
        const uint64_t capacity = mock.capacity ? 2 * mock.capacity : 256;
        int32_t *const grown = realloc(mock.values, capacity * sizeof *grown);
        if (grown == NULL) {
            mock.overflown = 1;
            return;
        }
        mock.values = grown;
        mock.capacity = capacity;
    }
    mock.values[mock.written++] = (int32_t)value;
}

static void execute(uint32_t operation)
{
    cyclecast_call *const call = &mock.call;
    const uint64_t wanted = operation == CYCLECAST_PROGRAM ? (uint64_t)call->count * call->filters
                            : operation == CYCLECAST_SEND  ? call->count
                                                           : 0;
    const uint32_t sums = operation == CYCLECAST_RECEIVE ? call->count : 0;
    mock.polls = operation == CYCLECAST_WAIT ? 3 : 0;
    mock.status = mock.device == NULL ? cyclecast_reference_open(&network_device, &mock.device) : CYCLECAST_OK;
    if (mock.status == CYCLECAST_OK) {
        mock.status = CYCLECAST_RANGE;
    }
    if (mock.device != NULL && mock.written == wanted && !mock.overflown && sums <= network_device.columns &&
        operation < CYCLECAST_OPERATIONS) {
        free(mock.sums);
        mock.sums = calloc((size_t)sums + 1, sizeof *mock.sums);
        call->operation = (cyclecast_operation)operation;
        call->values = mock.values;
        call->sums = mock.sums;
        mock.status = cyclecast_execute(mock.device, call);
    }
    mock.available = mock.status == CYCLECAST_OK ? sums : 0;
    mock.written = mock.read = 0;
    mock.overflown = 0;
}

void cyclecast_window_write(uint32_t word, uint32_t value)
{
    switch (word) {
    case WINDOW_RESET:
        reset();
        break;
    case WINDOW_OPERATION:
        execute(value);
        break;
    case WINDOW_SLOT:
        mock.call.slot = value;
        break;
    case WINDOW_COUNT:
        mock.call.count = value;
        break;
    case WINDOW_FILTERS:
        mock.call.filters = value;
        break;
    case WINDOW_DATA:
        append(value);
        break;
    case WINDOW_DEPTH:
        mock.call.place.depth = value;
        break;
    default:
        if (word - WINDOW_PLACE < CYCLECAST_LEVELS) {
            mock.call.place.at[word - WINDOW_PLACE] = value;
        }
    }
}

static uint32_t counter(uint32_t word)
{
    uint64_t fields[WINDOW_COUNTER_WORDS / 2] = {0};
    if (mock.device != NULL) {
        memcpy(fields, cyclecast_read_counters(mock.device), sizeof fields);
    }
    return (uint32_t)(fields[word / 2] >> 32 * (word % 2));
}

uint32_t cyclecast_window_read(uint32_t word)
{
    if (word == WINDOW_VERSION) {
        return CYCLECAST_VERSION;
    }
    if (word == WINDOW_STATUS) {
        return mock.polls > 0 && mock.polls-- ? WINDOW_BUSY : (uint32_t)mock.status;
    }
    if ((word == WINDOW_SUM_LOW || word == WINDOW_SUM_HIGH) && mock.read < mock.available) {
        const uint64_t sum = (uint64_t)mock.sums[mock.read];
        mock.read += word == WINDOW_SUM_HIGH;
        return (uint32_t)(sum >> 32 * (word == WINDOW_SUM_HIGH));
    }
    if (word >= WINDOW_COUNTERS && word - WINDOW_COUNTERS < WINDOW_COUNTER_WORDS) {
        return counter(word - WINDOW_COUNTERS);
    }
    return 0;
}
