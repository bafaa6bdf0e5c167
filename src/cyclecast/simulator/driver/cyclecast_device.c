/* The calls of cyclecast_device.h: each becomes a value, goes to the driver, and then to the observer. */
#include "cyclecast_device.h"

#include <stddef.h>

void cyclecast_close(cyclecast_device *device)
{
    if (device != NULL) {
        device->driver->close(device);
    }
}

const char *cyclecast_message(const cyclecast_device *device)
{
    return device->message;
}

void cyclecast_observe(cyclecast_device *device, cyclecast_observer observer, void *context)
{
    device->observer = observer;
    device->context = context;
}

const cyclecast_counters *cyclecast_read_counters(cyclecast_device *device)
{
    return device->driver->counters(device);
}

uint64_t cyclecast_cycles(const cyclecast_device *device, uint64_t femtoseconds)
{
    const uint64_t cycle = device->parameters.cycle_fs;
    return femtoseconds / cycle + (femtoseconds % cycle != 0);
}

cyclecast_status cyclecast_execute(cyclecast_device *device, const cyclecast_call *call)
{
    const cyclecast_status status = device->driver->call(device, call);
    if (status == CYCLECAST_OK && device->observer != NULL) {
        device->observer(device->context, call);
    }
    return status;
}

cyclecast_status cyclecast_begin(cyclecast_device *device, const char *workload)
{
    const cyclecast_call call = {.operation = CYCLECAST_BEGIN, .name = workload};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_to_write(cyclecast_device *device, cyclecast_place array)
{
    const cyclecast_call call = {.operation = CYCLECAST_TO_WRITE, .place = array};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_to_read(cyclecast_device *device, cyclecast_place array)
{
    const cyclecast_call call = {.operation = CYCLECAST_TO_READ, .place = array};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_program(
    cyclecast_device *device, cyclecast_place array, const int32_t *weights, uint32_t lines, uint32_t filters)
{
    const cyclecast_call call = {
        .operation = CYCLECAST_PROGRAM, .place = array, .count = lines, .filters = filters, .values = weights};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_send(cyclecast_device *device, uint32_t slot, const int32_t *values, uint32_t count)
{
    const cyclecast_call call = {.operation = CYCLECAST_SEND, .slot = slot, .count = count, .values = values};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_move(cyclecast_device *device, cyclecast_place to, uint32_t slot, uint32_t slots)
{
    const cyclecast_call call = {.operation = CYCLECAST_MOVE, .place = to, .slot = slot, .count = slots};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_stream(cyclecast_device *device, cyclecast_place array, uint32_t slot)
{
    const cyclecast_call call = {.operation = CYCLECAST_STREAM, .place = array, .slot = slot};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_start(cyclecast_device *device, cyclecast_place array)
{
    const cyclecast_call call = {.operation = CYCLECAST_START, .place = array};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_wait(cyclecast_device *device)
{
    const cyclecast_call call = {.operation = CYCLECAST_WAIT};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_accumulate(cyclecast_device *device, cyclecast_place from, uint32_t slot, uint32_t slots)
{
    const cyclecast_call call = {.operation = CYCLECAST_ACCUMULATE, .place = from, .slot = slot, .count = slots};
    return cyclecast_execute(device, &call);
}

cyclecast_status cyclecast_receive(cyclecast_device *device, uint32_t slot, int64_t *sums, uint32_t count)
{
    const cyclecast_call call = {.operation = CYCLECAST_RECEIVE, .slot = slot, .count = count, .sums = sums};
    return cyclecast_execute(device, &call);
}
