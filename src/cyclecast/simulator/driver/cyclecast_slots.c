/* Movement of tiles: slots of inputs and sums of the nodes above the arrays.
 *
 * Every call is checked completely before it changes anything. Slots get their memory when they are first used. */
#include "cyclecast_reference.h"

#include <stdlib.h>
#include <string.h>

static cyclecast_node *node_at(cyclecast_reference *r, const cyclecast_place *place)
{
    return &r->nodes[r->first[place->depth] + cyclecast_number(&r->base.parameters, place)];
}

static cyclecast_place around(const cyclecast_place *place)
{
    cyclecast_place outer = *place;
    --outer.depth;
    return outer;
}

static cyclecast_status check_slots(cyclecast_reference *r, uint32_t depth, uint32_t slot, uint32_t slots)
{
    if (slots < 1 || slot >= r->inside[depth] || slots > r->inside[depth] - slot) {
        return cyclecast_fail(r, CYCLECAST_RANGE, "a slot out of range, and how many there are",
            (uint64_t)slot + slots - 1, r->inside[depth]);
    }
    return CYCLECAST_OK;
}

/* Whether a slot of a node has room for `count` values; it is allocated on first use. */
static int has_room(cyclecast_reference *r, cyclecast_slot **slots, uint32_t depth, uint32_t place, uint32_t count)
{
    cyclecast_slot *slot = NULL;
    int64_t *grown = NULL;
    if (*slots == NULL && cyclecast_fits(r, r->inside[depth] * sizeof **slots)) {
        *slots = calloc((size_t)r->inside[depth], sizeof **slots);
        r->bytes += *slots == NULL ? 0 : r->inside[depth] * sizeof **slots;
    }
    if (*slots == NULL) {
        return 0;
    }
    slot = *slots + place;
    if (slot->capacity >= count) {
        return 1;
    }
    if (!cyclecast_fits(r, count * sizeof *grown)) {
        return 0;
    }
    grown = realloc(slot->values, count * sizeof *grown);
    if (grown == NULL) {
        return 0;
    }
    r->bytes += (count - slot->capacity) * sizeof *grown;
    slot->values = grown;
    slot->capacity = count;
    return 1;
}

static int is_empty(const cyclecast_slot *slots, uint32_t slot)
{
    return slots == NULL || slots[slot].count == 0;
}

static cyclecast_status no_memory(cyclecast_reference *r)
{
    return cyclecast_refuse(r, CYCLECAST_MEMORY, "there is no memory left for tiles");
}

cyclecast_status cyclecast_slots_send(cyclecast_reference *r, const cyclecast_call *call)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    const cyclecast_status status = check_slots(r, 0, call->slot, 1);
    if (status != CYCLECAST_OK) {
        return status;
    }
    if (call->count < 1 || call->count > cyclecast_most_lines(p) || call->values == NULL) {
        return cyclecast_fail(
            r, CYCLECAST_RANGE, "values, and how many a tile can have", call->count, cyclecast_most_lines(p));
    }
    const int64_t wrong = cyclecast_input_out_of_range(p, call->values, call->count);
    if (wrong >= 0) {
        return cyclecast_fail(r, CYCLECAST_RANGE, "an input out of range; its place, and the bits of an input",
            (uint64_t)wrong, p->input_bits);
    }
    if (!has_room(r, &r->nodes[0].inputs, 0, call->slot, call->count)) {
        return no_memory(r);
    }
    for (uint32_t place = 0; place < call->count; ++place) {
        r->nodes[0].inputs[call->slot].values[place] = call->values[place];
    }
    r->nodes[0].inputs[call->slot].count = call->count;
    ++r->counters.inputs[0];
    return CYCLECAST_OK;
}

cyclecast_status cyclecast_slots_move(cyclecast_reference *r, const cyclecast_call *call)
{
    const cyclecast_place outer = around(&call->place);
    cyclecast_node *const from = node_at(r, &outer), *const to = node_at(r, &call->place);
    cyclecast_status status = check_slots(r, outer.depth, call->slot, call->count);
    if (status == CYCLECAST_OK) {
        status = check_slots(r, call->place.depth, 0, call->count);
    }
    if (status != CYCLECAST_OK) {
        return status;
    }
    for (uint32_t slot = 0; slot < call->count; ++slot) {
        if (is_empty(from->inputs, call->slot + slot)) {
            return cyclecast_fail(r, CYCLECAST_EMPTY, "an empty slot of inputs, after the first", slot, call->slot);
        }
    }
    for (uint32_t slot = 0; slot < call->count; ++slot) {
        const uint32_t count = from->inputs[call->slot + slot].count;
        if (!has_room(r, &to->inputs, call->place.depth, slot, count)) {
            return no_memory(r);
        }
    }
    for (uint32_t slot = 0; slot < call->count; ++slot) {
        const cyclecast_slot *const tile = &from->inputs[call->slot + slot];
        memcpy(to->inputs[slot].values, tile->values, tile->count * sizeof *tile->values);
        to->inputs[slot].count = tile->count;
    }
    r->counters.inputs[call->place.depth] += call->count;
    return CYCLECAST_OK;
}

cyclecast_status cyclecast_slots_stream(cyclecast_reference *r, cyclecast_array *array, const cyclecast_call *call)
{
    const cyclecast_place outer = around(&call->place);
    const cyclecast_node *const from = node_at(r, &outer);
    const cyclecast_status status = check_slots(r, outer.depth, call->slot, 1);
    if (status != CYCLECAST_OK) {
        return status;
    }
    if (!array->reading) {
        return cyclecast_refuse(r, CYCLECAST_STATE, "inputs, but the array is in the state WRITE: to_read first");
    }
    if (array->started) {
        return cyclecast_refuse(r, CYCLECAST_BUSY, "a product is under way in this array: wait first");
    }
    if (is_empty(from->inputs, call->slot)) {
        return cyclecast_fail(
            r, CYCLECAST_EMPTY, "an empty slot of inputs, of so many", call->slot, r->inside[outer.depth]);
    }
    if (from->inputs[call->slot].count != array->tile->lines) {
        return cyclecast_fail(r, CYCLECAST_MISMATCH, "inputs, and word lines with weights",
            from->inputs[call->slot].count, array->tile->lines);
    }
    for (uint32_t line = 0; line < array->tile->lines; ++line) {
        array->inputs[line] = (int32_t)from->inputs[call->slot].values[line];
    }
    array->streamed = 1;
    ++r->counters.inputs[call->place.depth];
    return CYCLECAST_OK;
}

/* Sums of hostile programs may wrap around; those of real ones are far too small for that. */
static void add(int64_t *total, const int64_t *values, uint32_t count)
{
    for (uint32_t place = 0; place < count; ++place) {
        total[place] = (int64_t)((uint64_t)total[place] + (uint64_t)values[place]);
    }
}

static void give(cyclecast_slot *to, const int64_t *values, uint32_t count)
{
    if (to->count == 0) {
        memcpy(to->values, values, count * sizeof *values);
        to->count = count;
    } else {
        add(to->values, values, count);
    }
}

/* Whether slots of a node can take tiles of these sizes; their memory is there afterwards. */
static cyclecast_status check_target(
    cyclecast_reference *r, cyclecast_node *to, uint32_t depth, uint32_t slot, uint32_t count)
{
    if (!is_empty(to->sums, slot) && to->sums[slot].count != count) {
        return cyclecast_fail(r, CYCLECAST_MISMATCH, "sums, and those in their slot", count, to->sums[slot].count);
    }
    return has_room(r, &to->sums, depth, slot, count) ? CYCLECAST_OK : no_memory(r);
}

cyclecast_status cyclecast_slots_result(cyclecast_reference *r, cyclecast_array *array, const cyclecast_call *call)
{
    const cyclecast_place outer = around(&call->place);
    cyclecast_node *const to = node_at(r, &outer);
    cyclecast_status status = check_slots(r, outer.depth, call->slot, call->count);
    if (status != CYCLECAST_OK) {
        return status;
    }
    if (call->count != 1) {
        return cyclecast_fail(r, CYCLECAST_RANGE, "tiles of sums, and how many an array has", call->count, 1);
    }
    if (array->started) {
        return cyclecast_refuse(r, CYCLECAST_BUSY, "a product is under way in this array: wait first");
    }
    if (!array->finished) {
        return cyclecast_refuse(r, CYCLECAST_EMPTY, "the array has no result: start a product and wait for it");
    }
    status = check_target(r, to, outer.depth, call->slot, array->tile->filters);
    if (status == CYCLECAST_OK) {
        give(&to->sums[call->slot], array->result, array->tile->filters);
        array->finished = 0;
        ++r->counters.sums[call->place.depth];
    }
    return status;
}

cyclecast_status cyclecast_slots_accumulate(cyclecast_reference *r, const cyclecast_call *call)
{
    const cyclecast_place outer = around(&call->place);
    cyclecast_node *const from = node_at(r, &call->place), *const to = node_at(r, &outer);
    cyclecast_status status = check_slots(r, outer.depth, call->slot, call->count);
    if (status == CYCLECAST_OK) {
        status = check_slots(r, call->place.depth, 0, call->count);
    }
    for (uint32_t slot = 0; status == CYCLECAST_OK && slot < call->count; ++slot) {
        if (is_empty(from->sums, slot)) {
            return cyclecast_fail(r, CYCLECAST_EMPTY, "an empty slot of sums, of so many", slot, call->count);
        }
        status = check_target(r, to, outer.depth, call->slot + slot, from->sums[slot].count);
    }
    for (uint32_t slot = 0; status == CYCLECAST_OK && slot < call->count; ++slot) {
        give(&to->sums[call->slot + slot], from->sums[slot].values, from->sums[slot].count);
        from->sums[slot].count = 0;
        ++r->counters.sums[call->place.depth];
    }
    return status;
}

cyclecast_status cyclecast_slots_receive(cyclecast_reference *r, const cyclecast_call *call)
{
    const cyclecast_status status = check_slots(r, 0, call->slot, 1);
    if (status != CYCLECAST_OK) {
        return status;
    }
    if (is_empty(r->nodes[0].sums, call->slot)) {
        return cyclecast_fail(r, CYCLECAST_EMPTY, "an empty slot of sums, of so many", call->slot, r->inside[0]);
    }
    if (call->count != r->nodes[0].sums[call->slot].count || call->sums == NULL) {
        return cyclecast_fail(r, CYCLECAST_MISMATCH, "sums wanted, and those in the slot", call->count,
            r->nodes[0].sums[call->slot].count);
    }
    memcpy(call->sums, r->nodes[0].sums[call->slot].values, call->count * sizeof *call->sums);
    r->nodes[0].sums[call->slot].count = 0;
    ++r->counters.sums[0];
    return CYCLECAST_OK;
}

void cyclecast_slots_free(cyclecast_slot *slots, uint64_t count)
{
    for (uint64_t slot = 0; slots != NULL && slot < count; ++slot) {
        free(slots[slot].values);
    }
    free(slots);
}
