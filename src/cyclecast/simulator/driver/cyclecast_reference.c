/* The behaviour model of a whole device: states, products and counters of all its arrays.
 *
 * Every call is checked completely before it changes anything. */
#include "cyclecast_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BUCKETS 65536u /* for tiles */

cyclecast_status cyclecast_fail(
    cyclecast_reference *r, cyclecast_status status, const char *what, uint64_t is, uint64_t bound)
{
    snprintf(r->base.message, sizeof r->base.message, "%s: %llu, %llu", what, (unsigned long long)is,
        (unsigned long long)bound);
    return status;
}

cyclecast_status cyclecast_refuse(cyclecast_reference *r, cyclecast_status status, const char *why)
{
    snprintf(r->base.message, sizeof r->base.message, "%s", why);
    return status;
}

/* The number of a place among those of its depth. */
uint64_t cyclecast_number(const cyclecast_parameters *p, const cyclecast_place *place)
{
    uint64_t number = 0;
    for (uint32_t level = 0; level < place->depth; ++level) {
        number = number * p->counts[level] + place->at[level];
    }
    return number;
}

static cyclecast_array *array_at(cyclecast_reference *r, const cyclecast_place *place)
{
    return &r->arrays[cyclecast_number(&r->base.parameters, place)];
}

static cyclecast_status check_place(cyclecast_reference *r, const cyclecast_place *place, uint32_t least, uint32_t most)
{
    if (place->depth < least || place->depth > most) {
        return cyclecast_fail(r, CYCLECAST_RANGE, "a place of another depth than wanted", place->depth, most);
    }
    for (uint32_t level = 0; level < place->depth; ++level) {
        if (place->at[level] >= r->base.parameters.counts[level]) {
            return cyclecast_fail(r, CYCLECAST_RANGE, "an index out of range, and how many there are", place->at[level],
                r->base.parameters.counts[level]);
        }
    }
    return CYCLECAST_OK;
}

static cyclecast_status no_memory(cyclecast_reference *r)
{
    return cyclecast_refuse(r, CYCLECAST_MEMORY, "there is no memory left for the behaviour model");
}

static cyclecast_status busy(cyclecast_reference *r)
{
    return cyclecast_refuse(r, CYCLECAST_BUSY, "a product is under way in this array: wait first");
}

static cyclecast_status to_state(cyclecast_reference *r, cyclecast_array *array, int reading)
{
    if (array->started) {
        return busy(r);
    }
    if (reading && array->tile == NULL) {
        return cyclecast_refuse(r, CYCLECAST_UNWRITTEN, "the array has not been written: program it first");
    }
    array->reading = reading;
    return CYCLECAST_OK;
}

/* Whether there is memory for an array's inputs and result, and for its weights unless they exist already. */
static int has_memory(cyclecast_reference *r, cyclecast_array *array, const cyclecast_call *call, int shared)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    const cyclecast_tile *const before = array->tile;
    const uint64_t sums = call->filters * sizeof *array->result, bytes = sums + call->count * sizeof *array->inputs;
    const uint64_t grown = bytes > array->capacity ? bytes - array->capacity : 0;
    const uint64_t weights = shared ? 0 : cyclecast_tile_bytes(p, call->count, call->filters);
    const uint64_t freed =
        before != NULL && before->users == 1 ? cyclecast_tile_bytes(p, before->lines, before->filters) : 0;
    if (grown + weights > freed && !cyclecast_fits(r, grown + weights - freed)) {
        return 0;
    }
    if (grown > 0) {
        int64_t *const result = realloc(array->result, (size_t)bytes);
        if (result == NULL) {
            return 0;
        }
        array->result = result;
        array->inputs = before != NULL ? (int32_t *)(result + before->filters) : NULL;
        array->capacity = bytes;
        r->bytes += grown;
    }
    return 1;
}

static cyclecast_status program(cyclecast_reference *r, cyclecast_array *array, const cyclecast_call *call)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    cyclecast_tile *tile = NULL;
    if (array->reading) {
        return cyclecast_refuse(r, CYCLECAST_STATE, "a write, but the array is in the state READ: to_write first");
    }
    if (call->count < 1 || call->count > cyclecast_most_lines(p)) {
        return cyclecast_fail(
            r, CYCLECAST_RANGE, "word lines, and how many hold weights", call->count, cyclecast_most_lines(p));
    }
    if (call->filters < 1 || call->filters > cyclecast_most_filters(p)) {
        return cyclecast_fail(
            r, CYCLECAST_RANGE, "filters, and how many an array holds", call->filters, cyclecast_most_filters(p));
    }
    if (call->values == NULL) {
        return cyclecast_refuse(r, CYCLECAST_RANGE, "there are no weights");
    }
    tile = cyclecast_tile_find(r, call);
    if (tile == NULL) {
        const int64_t wrong = cyclecast_weight_out_of_range(p, call->values, (uint64_t)call->count * call->filters);
        if (wrong >= 0) {
            return cyclecast_fail(r, CYCLECAST_RANGE, "a weight out of range; its place, and the bits of a weight",
                (uint64_t)wrong, p->weight_bits);
        }
    }
    if (!has_memory(r, array, call, tile != NULL)) {
        cyclecast_tile_release(r, tile);
        return no_memory(r);
    }
    tile = tile != NULL ? tile : cyclecast_tile_new(r, call);
    if (tile == NULL) {
        return no_memory(r);
    }
    cyclecast_tile_release(r, array->tile);
    array->tile = tile;
    array->inputs = (int32_t *)(array->result + tile->filters);
    array->streamed = array->finished = 0;
    ++r->counters.programs;
    ++r->written;
    if (tile->write_fs > r->longest_write_fs) {
        r->longest_write_fs = tile->write_fs;
    }
    return CYCLECAST_OK;
}

static cyclecast_status start(cyclecast_reference *r, cyclecast_array *array)
{
    if (!array->reading) {
        return cyclecast_refuse(r, CYCLECAST_STATE, "a product, but the array is in the state WRITE: to_read first");
    }
    if (array->started) {
        return busy(r);
    }
    if (!array->streamed) {
        return cyclecast_refuse(r, CYCLECAST_EMPTY, "a product without inputs: stream them first");
    }
    array->started = 1;
    array->finished = 0;
    r->started[r->started_count++] = (uint32_t)(array - r->arrays);
    if (array->tile->product_fs > r->longest_fs) {
        r->longest_fs = array->tile->product_fs;
    }
    return CYCLECAST_OK;
}

static cyclecast_status wait(cyclecast_reference *r)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    for (uint32_t place = 0; place < r->started_count; ++place) {
        cyclecast_array *const array = &r->arrays[r->started[place]];
        cyclecast_array_multiply(p, array, r->scratch);
        array->started = array->streamed = 0;
        array->finished = 1;
    }
    r->counters.waits += r->started_count > 0 || r->written > 0;
    r->counters.products += r->started_count;
    r->counters.compute_fs += r->longest_fs;
    r->counters.write_fs += (r->written + p->write_arrays - 1) / p->write_arrays * r->longest_write_fs;
    r->started_count = 0;
    r->longest_fs = r->longest_write_fs = r->written = 0;
    return CYCLECAST_OK;
}

static cyclecast_status execute(cyclecast_device *device, const cyclecast_call *call)
{
    cyclecast_reference *const r = (cyclecast_reference *)device;
    const uint32_t levels = device->parameters.levels;
    cyclecast_status status = CYCLECAST_OK;
    switch (call->operation) {
    case CYCLECAST_BEGIN:
        return CYCLECAST_OK;
    case CYCLECAST_WAIT:
        return wait(r);
    case CYCLECAST_SEND:
        return cyclecast_slots_send(r, call);
    case CYCLECAST_RECEIVE:
        return cyclecast_slots_receive(r, call);
    case CYCLECAST_MOVE:
        status = check_place(r, &call->place, 1, levels - 1);
        return status == CYCLECAST_OK ? cyclecast_slots_move(r, call) : status;
    case CYCLECAST_ACCUMULATE:
        status = check_place(r, &call->place, 1, levels);
        if (status != CYCLECAST_OK) {
            return status;
        }
        return call->place.depth == levels ? cyclecast_slots_result(r, array_at(r, &call->place), call)
                                           : cyclecast_slots_accumulate(r, call);
    default:
        break;
    }
    status = check_place(r, &call->place, levels, levels);
    if (status != CYCLECAST_OK) {
        return status;
    }
    switch (call->operation) {
    case CYCLECAST_TO_WRITE:
        return to_state(r, array_at(r, &call->place), 0);
    case CYCLECAST_TO_READ:
        return to_state(r, array_at(r, &call->place), 1);
    case CYCLECAST_PROGRAM:
        return program(r, array_at(r, &call->place), call);
    case CYCLECAST_STREAM:
        return cyclecast_slots_stream(r, array_at(r, &call->place), call);
    case CYCLECAST_START:
        return start(r, array_at(r, &call->place));
    default:
        return cyclecast_fail(r, CYCLECAST_RANGE, "a call that there is not, and how many there are",
            (uint64_t)call->operation, CYCLECAST_OPERATIONS);
    }
}

static const cyclecast_counters *counters(cyclecast_device *device)
{
    return &((cyclecast_reference *)device)->counters;
}

static void close_reference(cyclecast_device *device)
{
    cyclecast_reference *const r = (cyclecast_reference *)device;
    const uint32_t levels = device->parameters.levels;
    for (uint32_t depth = 0; r->nodes != NULL && depth < levels; ++depth) {
        for (uint64_t place = r->first[depth]; place < r->first[depth + 1]; ++place) {
            cyclecast_slots_free(r->nodes[place].inputs, r->inside[depth]);
            cyclecast_slots_free(r->nodes[place].sums, r->inside[depth]);
        }
    }
    for (uint64_t array = 0; r->arrays != NULL && array < r->inside[0]; ++array) {
        free(r->arrays[array].result);
        cyclecast_tile_release(r, r->arrays[array].tile);
    }
    cyclecast_tiles_free(r);
    free(r->nodes);
    free(r->arrays);
    free(r->started);
    free(r->scratch);
    free(r);
}

static const cyclecast_driver DRIVER = {execute, counters, close_reference};

#ifndef CYCLECAST_BEHIND_WINDOWS
cyclecast_status cyclecast_open(const cyclecast_parameters *parameters, cyclecast_device **device)
{
    return cyclecast_reference_open(parameters, device);
}
#endif

cyclecast_status cyclecast_reference_open(const cyclecast_parameters *parameters, cyclecast_device **device)
{
    return cyclecast_reference_open_within(parameters, CYCLECAST_MOST_BYTES, device);
}

/* Memory of the empty device. */
static uint64_t own_bytes(const cyclecast_reference *r)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    return sizeof *r + r->first[p->levels] * sizeof *r->nodes + cyclecast_scratch(p) * sizeof *r->scratch +
           r->inside[0] * (sizeof *r->arrays + sizeof *r->started) + (r->last_bucket + 1) * sizeof *r->tiles;
}

cyclecast_status cyclecast_reference_open_within(
    const cyclecast_parameters *parameters, uint64_t most_bytes, cyclecast_device **device)
{
    cyclecast_reference *r = NULL;
    uint64_t nodes = 1;
    *device = NULL;
    if (cyclecast_refused(parameters) != NULL) {
        return CYCLECAST_RANGE;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CYCLECAST_MEMORY;
    }
    r->base.driver = &DRIVER;
    r->base.parameters = *parameters;
    r->inside[parameters->levels] = 1;
    for (uint32_t level = parameters->levels; level-- > 0;) {
        r->inside[level] = r->inside[level + 1] * parameters->counts[level];
    }
    for (uint32_t depth = 0; depth < parameters->levels; ++depth) {
        r->first[depth + 1] = r->first[depth] + nodes;
        nodes *= parameters->counts[depth];
    }
    while (r->last_bucket + 1 < r->inside[0] && r->last_bucket < MOST_BUCKETS - 1) {
        r->last_bucket = 2 * r->last_bucket + 1;
    }
    r->most_bytes = most_bytes;
    if (!cyclecast_fits(r, own_bytes(r))) {
        free(r);
        return CYCLECAST_MEMORY;
    }
    r->bytes = own_bytes(r);
    r->nodes = calloc((size_t)r->first[parameters->levels], sizeof *r->nodes);
    r->arrays = calloc((size_t)r->inside[0], sizeof *r->arrays);
    r->started = calloc((size_t)r->inside[0], sizeof *r->started);
    r->scratch = calloc((size_t)cyclecast_scratch(parameters), sizeof *r->scratch);
    r->tiles = calloc((size_t)r->last_bucket + 1, sizeof *r->tiles);
    if (r->tiles == NULL || r->nodes == NULL || r->arrays == NULL || r->started == NULL || r->scratch == NULL) {
        close_reference(&r->base);
        return CYCLECAST_MEMORY;
    }
    *device = &r->base;
    return CYCLECAST_OK;
}
