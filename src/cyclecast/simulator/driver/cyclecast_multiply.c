/* The product of one array: step by step as the converters tell it, or at once where they lose nothing. */
#include "cyclecast_reference.h"

#include <string.h>

/* What the DACs drive in a step: bits of the input, with its sign where that is the polarity of the drive. */
static int64_t pulse(const cyclecast_parameters *p, int64_t input, uint32_t place, uint32_t bits)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    const uint64_t magnitude = (uint64_t)(p->sign_magnitude && input < 0 ? -input : input);
    const int64_t driven = (int64_t)(magnitude >> place & mask);
    return p->sign_magnitude && input < 0 ? -driven : driven;
}

/* What the bit lines of one row phase add up. */
static void read_columns(int64_t *sums, const int64_t *driven, const uint16_t *cells, size_t rows, size_t columns)
{
    memset(sums, 0, columns * sizeof *sums);
    for (size_t row = 0; row < rows; ++row) {
        const int64_t value = driven[row];
        if (value == 0) {
            continue;
        }
        for (size_t column = 0; column < columns; ++column) {
            sums[column] += value * cells[row * columns + column];
        }
    }
}

static void add_narrow(int16_t *restrict sums, const uint16_t *restrict cells, int16_t value, size_t count)
{
    for (size_t place = 0; place < count; ++place) {
        sums[place] = (int16_t)(sums[place] + value * (int16_t)cells[place]);
    }
}

/* The same where 16 bits hold every sum. */
static void read_narrow(int64_t *sums, const int64_t *driven, const uint16_t *cells, size_t rows, size_t columns)
{
    for (size_t first = 0; first < columns; first += CYCLECAST_BLOCK) {
        const size_t count = columns - first < CYCLECAST_BLOCK ? columns - first : CYCLECAST_BLOCK;
        int16_t narrow[CYCLECAST_BLOCK] = {0};
        for (size_t row = 0; row < rows; ++row) {
            if (driven[row] != 0) {
                add_narrow(narrow, cells + row * columns + first, (int16_t)driven[row], count);
            }
        }
        for (size_t column = 0; column < count; ++column) {
            sums[first + column] = narrow[column];
        }
    }
}

/* Whether 16 bits hold every sum of a row phase of a step. */
static int is_narrow(const cyclecast_parameters *p, uint32_t bits)
{
    return p->cell_bits + bits < 15 &&
           (uint64_t)p->active_rows * (((uint64_t)1 << p->cell_bits) - 1) * (((uint64_t)1 << bits) - 1) <= INT16_MAX;
}

/* The sums of a row phase as the converters tell them (cut off at the ends of their range, on the side of the sign only
   if they have one), flips undone, shifted and added. */
static void add_codes(
    const cyclecast_parameters *p, cyclecast_array *array, const int64_t *sums, const uint8_t *flipped, int64_t all,
    int64_t weight)
{
    const uint32_t slices = cyclecast_slices(p), wide = cyclecast_columns_per_weight(p);
    const int is_signed = p->sign_magnitude || p->encoding == CYCLECAST_DIFFERENTIAL_ROWS;
    const int64_t most = p->digital ? INT64_MAX : ((int64_t)1 << (p->adc_bits - (uint32_t)is_signed)) - 1;
    const int64_t least = p->digital || !is_signed ? INT64_MIN : -most - 1;
    const int64_t whole = (((int64_t)1 << p->cell_bits) - 1) * all;
    for (uint32_t filter = 0; filter < array->filters; ++filter, sums += wide, flipped += wide) {
        int64_t total = 0;
        for (uint32_t part = 0; part < wide; part += slices) {
            int64_t of_part = 0;
            for (uint32_t slice = slices; slice-- > 0;) {
                const int64_t sum = sums[part + slice], code = sum > most ? most : sum < least ? least : sum;
                of_part = of_part * ((int64_t)1 << p->cell_bits) + (flipped[part + slice] ? whole - code : code);
            }
            total += part == 0 ? of_part : -of_part;
        }
        array->result[filter] += weight * total;
    }
}

/* One input step: read every row phase, convert, undo the flips, shift and add. */
static void add_step(
    const cyclecast_parameters *p, cyclecast_array *array, const int64_t *driven, int64_t *sums, int64_t weight,
    uint32_t bits)
{
    const size_t rows = (size_t)array->lines * cyclecast_rows_per_weight(p);
    const size_t columns = (size_t)array->filters * cyclecast_columns_per_weight(p);
    const int narrow = is_narrow(p, bits);
    for (size_t first = 0, phase = 0; first < rows; first += p->active_rows, ++phase) {
        const size_t active = rows - first < p->active_rows ? rows - first : p->active_rows;
        const uint16_t *const cells = array->cells + first * columns;
        int64_t all = 0;
        for (size_t row = first; row < first + active; ++row) {
            all += driven[row];
        }
        if (narrow) {
            read_narrow(sums, driven + first, cells, active, columns);
        } else {
            read_columns(sums, driven + first, cells, active, columns);
        }
        add_codes(p, array, sums, array->flipped + phase * columns, all, weight);
    }
}

static void bit_by_bit(const cyclecast_parameters *p, cyclecast_array *array, int64_t *driven, int64_t *sums)
{
    const uint32_t tall = cyclecast_rows_per_weight(p);
    const int64_t weight_offset = p->encoding == CYCLECAST_OFFSET ? (int64_t)1 << (p->weight_bits - 1) : 0;
    const int offset_inputs = !p->sign_magnitude && p->step_bits[0] > 1;
    const int64_t offset = offset_inputs ? (int64_t)1 << (p->input_bits - 1) : 0;
    uint32_t place = 0;
    for (uint32_t filter = 0; filter < array->filters; ++filter) {
        array->result[filter] = -offset * array->weight_sums[filter];
    }
    for (uint32_t step = 0; step < p->steps; ++step) {
        const uint32_t bits = p->step_bits[step];
        const int negative = !p->sign_magnitude && !offset_inputs && place + bits == p->input_bits;
        const int64_t weight = negative ? -((int64_t)1 << place) : (int64_t)1 << place;
        int64_t all = 0;
        for (size_t line = 0; line < array->lines; ++line) {
            const int64_t value = pulse(p, array->inputs[line] + offset, place, bits);
            driven[line * tall] = value;
            if (tall == 2) {
                driven[line * tall + 1] = -value;
            }
            all += value;
        }
        add_step(p, array, driven, sums, weight, bits);
        for (uint32_t filter = 0; filter < array->filters; ++filter) {
            array->result[filter] -= weight * all * weight_offset;
        }
        place += bits;
    }
}

static void add_small(int32_t *restrict sums, const int8_t *restrict weights, int32_t input, size_t count)
{
    for (size_t place = 0; place < count; ++place) {
        sums[place] += input * weights[place];
    }
}

static void add_wide(int64_t *restrict sums, const int32_t *restrict weights, int64_t input, size_t count)
{
    for (size_t place = 0; place < count; ++place) {
        sums[place] += input * weights[place];
    }
}

static void at_once(cyclecast_array *array, int32_t *sums)
{
    const size_t filters = array->filters;
    memset(array->result, 0, filters * sizeof *array->result);
    memset(sums, 0, filters * sizeof *sums);
    for (size_t line = 0; line < array->lines; ++line) {
        if (array->small_weights) {
            add_small(sums, array->small_weights + line * filters, array->inputs[line], filters);
        } else {
            add_wide(array->result, array->weights + line * filters, array->inputs[line], filters);
        }
    }
    for (size_t filter = 0; array->small_weights && filter < filters; ++filter) {
        array->result[filter] = sums[filter];
    }
}

void cyclecast_array_multiply(const cyclecast_parameters *p, cyclecast_array *array, int64_t *scratch)
{
    if (array->cells) {
        bit_by_bit(p, array, scratch, scratch + p->rows);
    } else {
        at_once(array, (int32_t *)scratch);
    }
}
