/* Limits and times of an array of the behaviour model: ranges of values, ranges of codes, times.
 *
 * Offset encoding and flipped columns: Shafiee et al., ISAAC, ISCA 2016, section V; differential rows: Wan et al.,
 * NeuRRAM, Nature 2022. An input step drives the word lines with some bits of the inputs. All active word lines of a
 * row phase add up on a bit line, whose sum a converter tells (and cuts off); shift and add does the rest. */
#include "cyclecast_reference.h"

static uint64_t ceil_div(uint64_t left, uint64_t right)
{
    return left / right + (left % right != 0);
}

uint32_t cyclecast_rows_per_weight(const cyclecast_parameters *p)
{
    return p->encoding == CYCLECAST_DIFFERENTIAL_ROWS ? 2 : 1;
}

uint32_t cyclecast_slices(const cyclecast_parameters *p)
{
    const uint32_t bits = p->encoding == CYCLECAST_OFFSET || p->weight_bits == 1 ? p->weight_bits : p->weight_bits - 1;
    return (bits + p->cell_bits - 1) / p->cell_bits;
}

uint32_t cyclecast_columns_per_weight(const cyclecast_parameters *p)
{
    return cyclecast_slices(p) * (p->encoding == CYCLECAST_DIFFERENTIAL_COLUMNS ? 2 : 1);
}

static int64_t cell_most(const cyclecast_parameters *p)
{
    return ((int64_t)1 << p->cell_bits) - 1;
}

static int signed_sums(const cyclecast_parameters *p)
{
    return p->sign_magnitude || p->encoding == CYCLECAST_DIFFERENTIAL_ROWS;
}

uint32_t cyclecast_most_lines(const cyclecast_parameters *p)
{
    return p->rows / cyclecast_rows_per_weight(p);
}

uint32_t cyclecast_most_filters(const cyclecast_parameters *p)
{
    return p->columns / cyclecast_columns_per_weight(p);
}

static const char *refused_steps(const cyclecast_parameters *p)
{
    const uint32_t bits = p->sign_magnitude && p->input_bits > 1 ? p->input_bits - 1 : p->input_bits;
    uint64_t applied = 0;
    if (p->steps < 1 || p->steps > CYCLECAST_STEPS) {
        return "1 to 32 input steps are possible";
    }
    for (uint32_t step = 0; step < p->steps; ++step) {
        if (p->step_bits[step] < 1 || p->step_bits[step] > p->step_bits[0]) {
            return "an input step applies as many bits as the first one, or fewer";
        }
        applied += p->step_bits[step];
    }
    return applied == bits ? NULL : "the bits of the input steps are not those of an input";
}

const char *cyclecast_refused(const cyclecast_parameters *p)
{
    uint64_t arrays = 1;
    if (p->levels < 1 || p->levels > CYCLECAST_LEVELS) {
        return "1 to 8 levels are possible";
    }
    for (uint32_t level = 0; level < p->levels; ++level) {
        if (p->counts[level] < 1 || p->counts[level] > CYCLECAST_MOST_ARRAYS) {
            return "1 to 1048576 instances of a level are possible";
        }
        arrays *= p->counts[level];
        if (arrays > CYCLECAST_MOST_ARRAYS) {
            return "the behaviour model has at most 1048576 arrays";
        }
    }
    if (p->rows < 1 || p->rows > CYCLECAST_MOST_LINES || p->columns < 1 || p->columns > CYCLECAST_MOST_LINES) {
        return "1 to 65536 word lines and bit lines are possible";
    }
    if (p->encoding > CYCLECAST_DIFFERENTIAL_ROWS) {
        return "there is no such encoding of weights";
    }
    if (p->active_rows < cyclecast_rows_per_weight(p) || p->active_rows > p->rows || p->active_columns < 1 ||
        p->active_columns > p->columns) {
        return "the active word lines and bit lines are some of the array's";
    }
    if (p->weight_bits < 1 || p->input_bits < 1 || p->weight_bits > 32 || p->input_bits > 32) {
        return "weights and inputs have 1 to 32 bits each";
    }
    if (p->cell_bits < 1 || p->cell_bits > 16 || p->weight_bits + p->input_bits + p->cell_bits > 46) {
        return "cells have 1 to 16 bits, and weights, inputs and cells at most 46 together";
    }
    if (p->adc_bits < 1 || p->adc_bits > 32) {
        return "converters have 1 to 32 bits";
    }
    if (p->adcs < 1 || p->adc_period_parts < 1 || p->write_rows < 1 || p->write_columns < 1 || p->write_arrays < 1 ||
        p->cycle_fs < 1) {
        return "converters, what is written at once and a cycle are at least 1";
    }
    if (cyclecast_most_lines(p) < 1 || cyclecast_most_filters(p) < 1) {
        return "an array holds no weight";
    }
    return refused_steps(p);
}

int cyclecast_lossless(const cyclecast_parameters *p)
{
    const uint64_t lines = ceil_div(p->active_rows, cyclecast_rows_per_weight(p));
    uint64_t most = lines * (uint64_t)cell_most(p), bits = 0;
    if (p->flips_columns && p->encoding != CYCLECAST_DIFFERENTIAL_ROWS) {
        most /= 2;
    }
    if (p->digital) {
        return 1;
    }
    if (p->step_bits[0] > 24) {
        return 0;
    }
    for (most *= ((uint64_t)1 << p->step_bits[0]) - 1; most > 0; most >>= 1) {
        ++bits;
    }
    return bits + (uint64_t)(signed_sums(p) != 0) <= p->adc_bits;
}

static int64_t out_of_range(const int32_t *values, uint64_t count, uint32_t bits, int magnitudes)
{
    const int32_t most = (int32_t)(((int64_t)1 << (bits - 1)) - 1);
    const int32_t least = magnitudes && bits > 1 ? -most : -most - 1;
    int wrong = 0;
    for (uint64_t place = 0; place < count; ++place) {
        wrong |= (values[place] < least) | (values[place] > most);
    }
    for (uint64_t place = 0; wrong && place < count; ++place) {
        if (values[place] < least || values[place] > most) {
            return (int64_t)place;
        }
    }
    return -1;
}

int64_t cyclecast_weight_out_of_range(const cyclecast_parameters *p, const int32_t *weights, uint64_t count)
{
    return out_of_range(weights, count, p->weight_bits, p->encoding != CYCLECAST_OFFSET);
}

int64_t cyclecast_input_out_of_range(const cyclecast_parameters *p, const int32_t *inputs, uint64_t count)
{
    return out_of_range(inputs, count, p->input_bits, p->sign_magnitude != 0);
}

int64_t cyclecast_most_code(const cyclecast_parameters *p)
{
    return p->digital ? INT64_MAX : ((int64_t)1 << (p->adc_bits - (uint32_t)signed_sums(p))) - 1;
}

int64_t cyclecast_least_code(const cyclecast_parameters *p)
{
    return p->digital || !signed_sums(p) ? INT64_MIN : -cyclecast_most_code(p) - 1;
}

int64_t cyclecast_input_offset(const cyclecast_parameters *p)
{
    return !p->sign_magnitude && p->step_bits[0] > 1 ? (int64_t)1 << (p->input_bits - 1) : 0;
}

int cyclecast_narrow(const cyclecast_parameters *p)
{
    uint32_t bits = p->weight_bits + p->input_bits - 1;
    for (uint32_t lines = cyclecast_most_lines(p); lines > 1; lines = (lines + 1) / 2) {
        ++bits;
    }
    return p->weight_bits <= 16 && p->input_bits <= 16 && bits <= 31; /* the largest sum is 2^(bits - 1) */
}

int cyclecast_in_bytes(const cyclecast_parameters *p)
{
    return p->step_bits[0] == 1 && p->cell_bits <= 4;
}

uint64_t cyclecast_scratch(const cyclecast_parameters *p)
{
    return 2 * (uint64_t)p->rows + 4 * (uint64_t)p->columns + 256;
}

/* The time of a product: input steps x row phases x column phases x (read, and conversions beside or after it). */
static uint64_t product_time(const cyclecast_parameters *p, uint64_t rows, uint64_t columns)
{
    const uint64_t tall = p->skips_unused ? rows : p->rows, wide = p->skips_unused ? columns : p->columns;
    const uint64_t row_phases = p->active_rows == p->rows ? 1 : ceil_div(tall, p->active_rows);
    const uint64_t column_phases = p->active_columns == p->columns ? 1 : ceil_div(wide, p->active_columns);
    const uint64_t phase = p->skips_unused && columns < p->active_columns ? columns : p->active_columns;
    uint64_t total = 0;
    for (uint32_t step = 0; step < p->steps; ++step) {
        const uint64_t read = p->step_read_fs[step];
        const uint64_t periods = ceil_div(phase, p->adcs) * p->step_periods[step];
        const uint64_t whole = p->adc_period_fs / p->adc_period_parts, part = p->adc_period_fs % p->adc_period_parts;
        const uint64_t converting = p->digital ? 0 : periods * whole + ceil_div(periods * part, p->adc_period_parts);
        if (p->adc_overlap) {
            total += converting > read ? converting : read;
        } else {
            total += converting + read;
        }
    }
    return row_phases * column_phases * total;
}

void cyclecast_tile_times(const cyclecast_parameters *p, cyclecast_tile *tile)
{
    const uint64_t rows = (uint64_t)tile->lines * cyclecast_rows_per_weight(p);
    const uint64_t columns = (uint64_t)tile->filters * cyclecast_columns_per_weight(p);
    tile->product_fs = product_time(p, rows, columns);
    tile->write_fs = ceil_div(rows, p->write_rows) * ceil_div(columns, p->write_columns) * p->write_fs;
}
