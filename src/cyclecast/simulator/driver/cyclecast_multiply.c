/* The product of one array: step by step with converters, and at once where they are lossless. */
#include "cyclecast_reference.h"

#include <string.h>

#define NARROW 32 /* columns that are summed together, in bytes side by side */
#define WIDE 64
#define GROUP 8 /* input steps whose codes are shifted and added in 32 bits */

/* The word lines that a step drives with a one, and with the other polarity. */
typedef struct {
    uint32_t *rows[2];
    size_t count[2];
} drive;

/* The cells of eight columns. They are so few bits that no sum of a column overflows into the next one. */
static uint64_t eight(const uint8_t *cells)
{
    uint64_t found;
    memcpy(&found, cells, sizeof found);
    return found;
}

static void sum_narrow(uint8_t *sums, const uint8_t *cells, size_t stride, const uint32_t *rows, size_t count)
{
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t place = 0; place < count; ++place) {
        const uint8_t *const line = cells + rows[place] * stride;
        a += eight(line);
        b += eight(line + 8);
        c += eight(line + 16);
        d += eight(line + 24);
    }
    const uint64_t all[] = {a, b, c, d};
    memcpy(sums, all, sizeof all);
}

static void sum_wide(uint8_t *sums, const uint8_t *cells, size_t stride, const uint32_t *rows, size_t count)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    for (size_t place = 0; place < count; ++place) {
        const uint8_t *const line = cells + rows[place] * stride;
        a += eight(line);
        b += eight(line + 8);
        c += eight(line + 16);
        d += eight(line + 24);
        e += eight(line + 32);
        f += eight(line + 40);
        g += eight(line + 48);
        h += eight(line + 56);
    }
    const uint64_t all[] = {a, b, c, d, e, f, g, h};
    memcpy(sums, all, sizeof all);
}

/* Sums of the bit lines of several columns, in bytes. */
static void sum_rows(
    uint8_t *sums, const uint8_t *cells, size_t stride, const uint32_t *rows, size_t count, size_t width)
{
    if (width == WIDE) {
        sum_wide(sums, cells, stride, rows, count);
    } else {
        sum_narrow(sums, cells, stride, rows, count);
    }
}

/* Codes of sums without a sign, shifted and added; or taken off. */
static void add_bytes(
    int32_t *restrict total, const uint8_t *restrict sums, size_t width, uint8_t most, uint32_t shift, int negative)
{
    if (negative) {
        for (size_t column = 0; column < width; ++column) {
            total[column] -= (int32_t)(sums[column] < most ? sums[column] : most) << shift;
        }
    } else {
        for (size_t column = 0; column < width; ++column) {
            total[column] += (int32_t)(sums[column] < most ? sums[column] : most) << shift;
        }
    }
}

/* The same for sums of any sign that bytes do not hold. */
static void add_sums(
    const cyclecast_parameters *p, const cyclecast_tile *tile, const drive *driven, const uint8_t *cells, size_t width,
    int32_t factor, int32_t *total)
{
    const int64_t highest = cyclecast_most_code(p), lowest = cyclecast_least_code(p);
    const int32_t most = (int32_t)(highest > INT32_MAX ? INT32_MAX : highest);
    const int32_t least = (int32_t)(lowest < INT32_MIN ? INT32_MIN : lowest);
    int32_t sums[WIDE] = {0};
    uint8_t part[WIDE];
    for (int side = 0; side < 2; ++side) {
        for (size_t first = 0, count; first < driven->count[side]; first += count) {
            count = driven->count[side] - first;
            count = count < tile->rows_at_once ? count : tile->rows_at_once;
            sum_rows(part, cells, tile->stride, driven->rows[side] + first, count, width);
            for (size_t column = 0; column < width; ++column) {
                sums[column] += side ? -(int32_t)part[column] : (int32_t)part[column];
            }
        }
    }
    for (size_t column = 0; column < width; ++column) {
        const int32_t sum = sums[column];
        total[column] += (sum > most ? most : sum < least ? least : sum) * factor;
    }
}

/* One input step of a bit: read the columns of a row phase, convert, shift and add. */
static void add_bit_step(
    const cyclecast_parameters *p, const cyclecast_tile *tile, const drive *driven, const uint8_t *cells,
    uint32_t shift, int negative, int32_t *total)
{
    const int64_t most = cyclecast_most_code(p);
    const int simple = driven->count[1] == 0 && driven->count[0] <= tile->rows_at_once;
    for (size_t first = 0, width; first < tile->stride; first += width) {
        width = tile->stride - first < WIDE ? NARROW : WIDE;
        if (simple) {
            uint8_t sums[WIDE];
            sum_rows(sums, cells + first, tile->stride, driven->rows[0], driven->count[0], width);
            add_bytes(total + first, sums, width, (uint8_t)(most < UINT8_MAX ? most : UINT8_MAX), shift, negative);
        } else {
            const int32_t factor = negative ? -(int32_t)(1u << shift) : (int32_t)(1u << shift);
            add_sums(p, tile, driven, cells + first, width, factor, total + first);
        }
    }
}

/* Add the codes of a row phase to the sum of every filter: flips undone, slices shifted, offsets subtracted. Driven
 * were so many ones in all, each counted as its step is. */
static void finish(
    const cyclecast_parameters *p, const cyclecast_tile *tile, const uint8_t *flipped, const int64_t *total,
    int64_t all, int64_t *result)
{
    const int64_t whole = (((int64_t)1 << p->cell_bits) - 1) * all;
    for (size_t column = 0; column < tile->columns; ++column) {
        const int64_t sum = flipped[column] ? whole - total[column] : total[column];
        result[tile->filter_of[column]] += tile->weight_of[column] * sum;
    }
    if (!tile->at_once && p->encoding == CYCLECAST_OFFSET) {
        for (size_t filter = 0; filter < tile->filters; ++filter) {
            result[filter] -= all * ((int64_t)1 << (p->weight_bits - 1));
        }
    }
}

/* Where what a word line is driven with is noted, bits and whether with the other polarity; and what else it takes. */
typedef struct {
    uint32_t *bits;
    uint8_t *turned;
    drive driven;
    int64_t *total;
    int32_t *part;
} bit_scratch;

static bit_scratch bit_scratch_in(const cyclecast_parameters *p, int64_t *scratch)
{
    bit_scratch parts = {NULL, NULL, {{NULL, NULL}, {0, 0}}, scratch, NULL};
    parts.part = (int32_t *)(scratch + p->columns);
    parts.bits = (uint32_t *)(parts.part + CYCLECAST_PADDED_COLUMNS(p->columns));
    parts.driven.rows[0] = parts.bits + p->rows;
    parts.driven.rows[1] = parts.driven.rows[0] + p->rows;
    parts.turned = (uint8_t *)(parts.driven.rows[1] + p->rows);
    return parts;
}

static void note_bits(const cyclecast_parameters *p, const cyclecast_array *array, const bit_scratch *work)
{
    const uint32_t tall = cyclecast_rows_per_weight(p);
    if (!p->sign_magnitude && tall == 1) { /* nothing is turned */
        memcpy(work->bits, array->inputs, array->tile->lines * sizeof *work->bits);
        return;
    }
    for (size_t line = 0; line < array->tile->lines; ++line) {
        const int32_t input = array->inputs[line];
        const int turned = p->sign_magnitude && input < 0;
        for (size_t row = line * tall; row < (line + 1) * tall; ++row) {
            work->bits[row] = turned ? 0u - (uint32_t)input : (uint32_t)input;
            work->turned[row] = (uint8_t)(turned != (row % tall != 0));
        }
    }
}

/* Find the word lines of a row phase that a step drives; return their number minus those of the other polarity. */
static int64_t find_driven(
    const cyclecast_parameters *p, bit_scratch *work, size_t first, size_t active, uint32_t step)
{
    const uint32_t *const bits = work->bits + first;
    const uint8_t *const turned = work->turned + first;
    uint32_t *const ones = work->driven.rows[0], *const minus_ones = work->driven.rows[1];
    size_t count = 0, minus_count = 0;
    if (p->sign_magnitude || p->encoding == CYCLECAST_DIFFERENTIAL_ROWS) {
        for (uint32_t row = 0; row < active; ++row) {
            const uint32_t bit = bits[row] >> step & 1;
            ones[count] = minus_ones[minus_count] = row;
            count += bit & ~(uint32_t)turned[row];
            minus_count += bit & turned[row];
        }
    } else {
        for (uint32_t row = 0; row < active; ++row) {
            ones[count] = row;
            count += bits[row] >> step & 1;
        }
    }
    work->driven.count[0] = count;
    work->driven.count[1] = minus_count;
    return (int64_t)count - (int64_t)minus_count;
}

/* A product whose inputs are driven bit by bit. */
static void bit_by_bit(const cyclecast_parameters *p, cyclecast_array *array, int64_t *scratch)
{
    const cyclecast_tile *const tile = array->tile;
    const size_t rows = (size_t)tile->lines * cyclecast_rows_per_weight(p);
    bit_scratch work = bit_scratch_in(p, scratch);
    note_bits(p, array, &work);
    for (size_t first = 0, phase = 0; first < rows; first += p->active_rows, ++phase) {
        const size_t active = rows - first < p->active_rows ? rows - first : p->active_rows;
        for (uint32_t low = 0; low < p->steps; low += GROUP) {
            int64_t all = 0;
            memset(work.part, 0, tile->stride * sizeof *work.part);
            for (uint32_t step = low; step < p->steps && step < low + GROUP; ++step) {
                const int negative = !p->sign_magnitude && step + 1 == p->input_bits;
                const int64_t count = find_driven(p, &work, first, active, step);
                all += (negative ? -count : count) * ((int64_t)1 << step);
                if (work.driven.count[0] + work.driven.count[1] > 0) {
                    add_bit_step(p, tile, &work.driven, tile->byte_cells + first * tile->stride, step - low, negative,
                        work.part);
                }
            }
            for (size_t column = 0; column < tile->columns; ++column) {
                work.total[column] = (int64_t)work.part[column] * ((int64_t)1 << low);
            }
            finish(p, tile, tile->flipped + phase * tile->columns, work.total, all, array->result);
        }
    }
}

/* The drive of the DACs in a step: bits of the input, with its sign if the drive has a polarity. */
static int64_t pulse(const cyclecast_parameters *p, int64_t input, uint32_t place, uint32_t bits)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    const uint64_t magnitude = (uint64_t)(p->sign_magnitude && input < 0 ? -input : input);
    const int64_t driven = (int64_t)(magnitude >> place & mask);
    return p->sign_magnitude && input < 0 ? -driven : driven;
}

static int32_t dot(const int16_t *restrict left, const int16_t *restrict right, size_t count)
{
    int32_t sum = 0;
    for (size_t place = 0; place < count; ++place) {
        sum += (int32_t)left[place] * right[place];
    }
    return sum;
}

/* The same for four vectors that follow each other. */
static void four_dots(const int16_t *restrict left, const int16_t *restrict rights, size_t count, int64_t *sums)
{
    const int16_t *const second = rights + count, *const third = second + count, *const fourth = third + count;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (size_t place = 0; place < count; ++place) {
        a += (int32_t)left[place] * rights[place];
        b += (int32_t)left[place] * second[place];
        c += (int32_t)left[place] * third[place];
        d += (int32_t)left[place] * fourth[place];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* Sums of the bit lines of one row phase, if they fit 32 bits. */
static void read_narrow(int64_t *sums, const int16_t *driven, const uint16_t *cells, size_t rows, size_t columns)
{
    size_t column = 0;
    for (; column + 4 <= columns; column += 4) {
        four_dots(driven, (const int16_t *)cells + column * rows, rows, sums + column);
    }
    for (; column < columns; ++column) {
        sums[column] = dot(driven, (const int16_t *)cells + column * rows, rows);
    }
}

static void read_wide(int64_t *sums, const int64_t *driven, const uint16_t *cells, size_t rows, size_t columns)
{
    for (size_t column = 0; column < columns; ++column) {
        sums[column] = 0;
        for (size_t row = 0; row < rows; ++row) {
            sums[column] += driven[row] * cells[column * rows + row];
        }
    }
}

/* Whether pulses and cells of a step fit 16 bits, and every sum of a row phase 32. */
static int is_narrow(const cyclecast_parameters *p, uint32_t bits)
{
    const uint64_t cell = ((uint64_t)1 << p->cell_bits) - 1, most = (((uint64_t)1 << bits) - 1) * cell;
    return p->cell_bits < 16 && bits < 16 && p->active_rows * most <= INT32_MAX;
}

/* One input step of several bits: drive and read the columns of a row phase, convert, shift, add; return the drive. */
static int64_t add_step(
    const cyclecast_parameters *p, const cyclecast_array *array, size_t first, uint32_t place, uint32_t bits,
    int64_t weight, int64_t *scratch)
{
    const cyclecast_tile *const tile = array->tile;
    const size_t rows = (size_t)tile->lines * cyclecast_rows_per_weight(p), columns = tile->columns;
    const size_t active = rows - first < p->active_rows ? rows - first : p->active_rows;
    const int64_t offset = cyclecast_input_offset(p), most = cyclecast_most_code(p), least = cyclecast_least_code(p);
    const uint16_t *const cells = tile->cells + first * columns;
    const int narrow = is_narrow(p, bits);
    int64_t *const total = scratch, *const sums = total + columns, *const driven = sums + columns, all = 0;
    int16_t *const pulses = (int16_t *)(driven + active);
    for (size_t row = 0; row < active; ++row) {
        const size_t tall = cyclecast_rows_per_weight(p);
        const int64_t value = pulse(p, array->inputs[(first + row) / tall] + offset, place, bits);
        driven[row] = (first + row) % tall ? -value : value;
        pulses[row] = (int16_t)(narrow ? driven[row] : 0);
        all += driven[row];
    }
    if (narrow) {
        read_narrow(sums, pulses, cells, active, columns);
    } else {
        read_wide(sums, driven, cells, active, columns);
    }
    for (size_t column = 0; column < columns; ++column) {
        const int64_t sum = sums[column];
        total[column] += weight * (sum > most ? most : sum < least ? least : sum);
    }
    return weight * all;
}

/* A product whose inputs are driven by several bits at once, or whose cells are wide. */
static void step_by_step(const cyclecast_parameters *p, cyclecast_array *array, int64_t *scratch)
{
    const cyclecast_tile *const tile = array->tile;
    const size_t rows = (size_t)tile->lines * cyclecast_rows_per_weight(p);
    const int is_offset = cyclecast_input_offset(p) != 0;
    for (size_t first = 0, phase = 0; first < rows; first += p->active_rows, ++phase) {
        int64_t all = 0;
        uint32_t place = 0;
        memset(scratch, 0, tile->columns * sizeof *scratch);
        for (uint32_t step = 0; step < p->steps; place += p->step_bits[step++]) {
            const uint32_t bits = p->step_bits[step];
            const int negative = !p->sign_magnitude && !is_offset && place + bits == p->input_bits;
            const int64_t weight = negative ? -((int64_t)1 << place) : (int64_t)1 << place;
            all += add_step(p, array, first, place, bits, weight, scratch);
        }
        finish(p, tile, tile->flipped + phase * tile->columns, scratch, all, array->result);
    }
}

static void add_wide(int64_t *restrict sums, const int32_t *restrict weights, int64_t input, size_t count)
{
    for (size_t place = 0; place < count; ++place) {
        sums[place] += input * weights[place];
    }
}

static void at_once(cyclecast_array *array, int16_t *inputs)
{
    const cyclecast_tile *const tile = array->tile;
    const size_t filters = tile->filters, lines = tile->lines, padded = CYCLECAST_PADDED_LINES(lines);
    for (size_t line = 0; tile->weights && line < lines; ++line) {
        add_wide(array->result, tile->weights + line * filters, array->inputs[line], filters);
    }
    if (tile->narrow_weights) {
        memset(inputs, 0, padded * sizeof *inputs);
        for (size_t line = 0; line < lines; ++line) {
            inputs[line] = (int16_t)array->inputs[line];
        }
        for (size_t filter = 0; filter < filters; ++filter) {
            array->result[filter] += dot(inputs, tile->narrow_weights + filter * padded, padded);
        }
    }
}

void cyclecast_array_multiply(const cyclecast_parameters *p, cyclecast_array *array, int64_t *scratch)
{
    const cyclecast_tile *const tile = array->tile;
    memcpy(array->result, tile->start, tile->filters * sizeof *array->result);
    if (tile->at_once) {
        at_once(array, (int16_t *)scratch);
    }
    if (tile->columns > 0 && tile->byte_cells) {
        bit_by_bit(p, array, scratch);
    } else if (tile->columns > 0) {
        step_by_step(p, array, scratch);
    }
}
