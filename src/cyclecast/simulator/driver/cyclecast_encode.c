/* Encoding of weights as cells: slices, offsets, pairs, flipped columns; and the part that is multiplied at once. */
#include "cyclecast_reference.h"

#include <string.h>

/* Allocate the next part of a tile's memory; without memory, only count its bytes. */
static void *next_part(unsigned char *memory, uint64_t *used, uint64_t bytes)
{
    const uint64_t at = *used;
    *used += (bytes + 15) / 16 * 16;
    return memory == NULL ? NULL : memory + at;
}

static uint64_t phases(const cyclecast_parameters *p, uint64_t rows)
{
    return (rows + p->active_rows - 1) / p->active_rows;
}

/* Bytes of a tile; its parts are placed in `memory` unless it is NULL. */
static uint64_t lay_out(const cyclecast_parameters *p, cyclecast_tile *tile, uint64_t lines, uint64_t filters)
{
    const uint64_t rows = lines * cyclecast_rows_per_weight(p), columns = filters * cyclecast_columns_per_weight(p);
    const int exact = p->fast && cyclecast_lossless(p), bits = !exact;
    unsigned char *const memory = (unsigned char *)tile;
    uint64_t used = 0;
    cyclecast_tile parts = {0};
    next_part(memory, &used, sizeof *tile);
    parts.start = next_part(memory, &used, filters * sizeof *parts.start);
    parts.content = next_part(memory, &used, lines * filters * sizeof *parts.content);
    if (p->fast && cyclecast_narrow(p)) {
        parts.narrow_weights =
            next_part(memory, &used, filters * CYCLECAST_PADDED_LINES(lines) * sizeof *parts.narrow_weights);
    } else if (p->fast) {
        parts.weights = exact ? parts.content
                              : next_part(memory, &used, lines * filters * sizeof *parts.weights);
    }
    if (bits) {
        parts.weight_of = next_part(memory, &used, columns * sizeof *parts.weight_of);
        parts.filter_of = next_part(memory, &used, columns * sizeof *parts.filter_of);
        parts.flipped = next_part(memory, &used, phases(p, rows) * columns);
    }
    if (bits && cyclecast_in_bytes(p)) {
        parts.byte_cells = next_part(memory, &used, rows * CYCLECAST_PADDED_COLUMNS(columns));
    } else if (bits) {
        parts.cells = next_part(memory, &used, rows * columns * sizeof *parts.cells);
    }
    if (memory != NULL) {
        *tile = parts;
    }
    return used;
}

uint64_t cyclecast_tile_bytes(const cyclecast_parameters *p, uint64_t lines, uint64_t filters)
{
    return lay_out(p, NULL, lines, filters);
}

/* One slice of several weights: of the positive or negative half, or of weights with their offset. */
static void slice_of(
    const cyclecast_parameters *p, const int32_t *restrict weights, size_t filters, int negative, uint32_t shift,
    uint16_t *restrict cells)
{
    const uint32_t most = ((uint32_t)1 << p->cell_bits) - 1, turned = negative ? UINT32_MAX : 0;
    const uint32_t offset = p->encoding == CYCLECAST_OFFSET ? (uint32_t)1 << (p->weight_bits - 1) : 0;
    const int32_t least = p->encoding == CYCLECAST_OFFSET ? INT32_MIN : 0;
    for (size_t filter = 0; filter < filters; ++filter) {
        const int32_t value = (int32_t)(((uint32_t)weights[filter] ^ turned) - turned);
        cells[filter] = (uint16_t)(((uint32_t)(value < least ? least : value) + offset) >> shift & most);
    }
}

/* The cells of a word line before columns are flipped: slice by slice, one of every filter; then negative columns. */
static void encode_row(
    const cyclecast_parameters *p, const int32_t *weights, uint32_t filters, size_t row, uint16_t *cells)
{
    const uint32_t tall = cyclecast_rows_per_weight(p), wide = cyclecast_columns_per_weight(p);
    const uint32_t slices = cyclecast_slices(p);
    for (uint32_t column = 0; column < wide; ++column) {
        const int negative = row % tall != 0 || column >= slices;
        const uint32_t shift = column % slices * p->cell_bits;
        slice_of(p, weights + row / tall * filters, filters, negative, shift, cells + (size_t)column * filters);
    }
}

/* Temporary memory of the encoding, per column. */
typedef struct {
    uint32_t *sums[2]; /* of the cells on word lines that are driven as inputs are, and with the other sign */
    uint32_t *kept;    /* the columns that are read bit by bit */
    int32_t *weights;  /* of one line: what is left of them for the product at once */
    uint16_t *cells;   /* of one word line */
    uint8_t *lossy;
} workspace;

static workspace workspace_in(int64_t *scratch, size_t columns)
{
    workspace parts = {{(uint32_t *)scratch, (uint32_t *)scratch + columns}, NULL, NULL, NULL, NULL};
    parts.kept = parts.sums[1] + columns;
    parts.weights = (int32_t *)(parts.kept + columns);
    parts.cells = (uint16_t *)(parts.weights + columns);
    parts.lossy = (uint8_t *)(parts.cells + columns);
    return parts;
}

/* Whether the largest possible sums of a column exceed its converter's range. */
static int saturates(const cyclecast_parameters *p, uint64_t positive, uint64_t negative)
{
    const uint64_t pulse = ((uint64_t)1 << p->step_bits[0]) - 1;
    const uint64_t high = p->sign_magnitude ? positive + negative : positive;
    const uint64_t low = p->sign_magnitude ? positive + negative : negative;
    const int64_t least = cyclecast_least_code(p);
    return high * pulse > (uint64_t)cyclecast_most_code(p) || (least != INT64_MIN && low * pulse > (uint64_t)-least);
}

/* Store the cells of one of so many word lines of a row phase. */
static void store_row(
    cyclecast_tile *tile, size_t columns, size_t first, size_t row, size_t active, const uint16_t *restrict cells)
{
    if (tile->byte_cells) {
        const size_t stride = CYCLECAST_PADDED_COLUMNS(columns);
        uint8_t *const bytes = tile->byte_cells + row * stride;
        for (size_t column = 0; column < columns; ++column) {
            bytes[column] = (uint8_t)cells[column];
        }
        memset(bytes + columns, 0, stride - columns);
        return;
    }
    for (size_t column = 0; column < columns; ++column) {
        tile->cells[first * columns + column * active + row - first] = cells[column];
    }
}

/* Encode a row phase: find its flipped columns, those that may saturate, and the largest sum of cells. */
static uint64_t encode_phase(
    const cyclecast_parameters *p, cyclecast_tile *tile, size_t columns, size_t first, const workspace *work)
{
    const uint32_t tall = cyclecast_rows_per_weight(p);
    const size_t rows = (size_t)tile->lines * tall, end = rows - first < p->active_rows ? rows : first + p->active_rows;
    const uint64_t whole = (end - first) * (((uint64_t)1 << p->cell_bits) - 1);
    uint8_t *const flipped = tile->flipped + first / p->active_rows * columns;
    uint64_t most = 0;
    memset(work->sums[0], 0, 2 * columns * sizeof *work->sums[0]);
    for (size_t row = first; row < end; ++row) {
        uint32_t *const sums = work->sums[row % tall];
        encode_row(p, tile->content, tile->filters, row, work->cells);
        store_row(tile, columns, first, row, end - first, work->cells);
        for (size_t column = 0; column < columns; ++column) {
            sums[column] += work->cells[column];
        }
    }
    for (size_t column = 0; column < columns; ++column) {
        uint64_t positive = work->sums[0][column], negative = work->sums[1][column];
        flipped[column] = p->flips_columns && tall == 1 && 2 * positive > whole;
        positive = flipped[column] ? whole - positive : positive;
        work->lossy[column] |= !p->fast || saturates(p, positive, negative);
        most = positive + negative > most ? positive + negative : most;
    }
    return most;
}

/* List the columns that are read bit by bit, and the factor of each. */
static void keep(const cyclecast_parameters *p, cyclecast_tile *tile, size_t columns, const workspace *work)
{
    const size_t all_phases = (size_t)phases(p, (uint64_t)tile->lines * cyclecast_rows_per_weight(p));
    const uint32_t slices = cyclecast_slices(p);
    size_t lossy = 0;
    for (size_t column = 0; column < columns; ++column) {
        lossy += work->lossy[column];
    }
    if (lossy > columns / 4 * 3) { /* the others are too few to gain by a product of their own */
        memset(work->lossy, 1, columns);
    }
    for (size_t column = 0; column < columns; ++column) {
        const uint32_t part = (uint32_t)(column / tile->filters);
        if (work->lossy[column]) {
            const int64_t weight = (int64_t)1 << part % slices * p->cell_bits;
            work->kept[tile->columns] = (uint32_t)column;
            tile->filter_of[tile->columns] = (uint32_t)(column % tile->filters);
            tile->weight_of[tile->columns++] = part < slices ? weight : -weight;
        }
    }
    for (size_t phase = 0; phase < all_phases; ++phase) {
        for (size_t place = 0; place < tile->columns; ++place) {
            tile->flipped[phase * tile->columns + place] = tile->flipped[phase * columns + work->kept[place]];
        }
    }
    tile->at_once = p->fast && tile->columns < columns;
    tile->stride = CYCLECAST_PADDED_COLUMNS(tile->columns);
}

/* Flip cells: subtract each from the largest value of a cell. */
static void flip_row(uint8_t *restrict cells, const uint8_t *restrict flipped, size_t columns, uint32_t most)
{
    for (size_t column = 0; column < columns; ++column) {
        cells[column] = (uint8_t)(cells[column] ^ ((0u - flipped[column]) & most));
    }
}

/* Compact the cells of a row phase to the listed columns, and flip them. */
static void arrange(
    const cyclecast_parameters *p, cyclecast_tile *tile, size_t columns, size_t first, const workspace *work)
{
    const size_t rows = (size_t)tile->lines * cyclecast_rows_per_weight(p), stride = CYCLECAST_PADDED_COLUMNS(columns);
    const size_t active = rows - first < p->active_rows ? rows - first : p->active_rows;
    const uint8_t *const flipped = tile->flipped + first / p->active_rows * tile->columns;
    const uint32_t most = ((uint32_t)1 << p->cell_bits) - 1;
    for (size_t row = first; tile->byte_cells && row < first + active; ++row) {
        uint8_t *const from = tile->byte_cells + row * stride, *const to = tile->byte_cells + row * tile->stride;
        for (size_t place = 0; tile->columns < columns && place < tile->columns; ++place) {
            to[place] = from[work->kept[place]];
        }
        flip_row(to, flipped, tile->columns, most);
        memset(to + tile->columns, 0, tile->stride - tile->columns);
    }
    for (size_t place = 0; tile->cells && place < tile->columns; ++place) {
        const uint16_t *const from = tile->cells + first * columns + work->kept[place] * active;
        uint16_t *const to = tile->cells + first * tile->columns + place * active;
        for (size_t row = 0; row < active; ++row) {
            to[row] = (uint16_t)(from[row] ^ (flipped[place] ? most : 0));
        }
    }
}

/* Subtract the cells of a word line that are read bit by bit from the weights multiplied at once. */
static void take_off(const cyclecast_parameters *p, const cyclecast_tile *tile, size_t row, const workspace *work)
{
    const int negative = row % cyclecast_rows_per_weight(p) != 0;
    encode_row(p, tile->content, tile->filters, row, work->cells);
    for (size_t place = 0; place < tile->columns; ++place) {
        const int64_t taken = tile->weight_of[place] * work->cells[work->kept[place]];
        work->weights[tile->filter_of[place]] -= (int32_t)(negative ? -taken : taken);
    }
}

/* Store the part of a line of weights that is multiplied at once, and correct every sum for the inputs' offset. */
static void store_line(cyclecast_tile *tile, size_t line, const int32_t *left, int64_t input_offset)
{
    const size_t stride = CYCLECAST_PADDED_LINES(tile->lines);
    for (size_t filter = 0; filter < tile->filters; ++filter) {
        const int32_t weight = tile->content[line * tile->filters + filter], at_once = tile->at_once ? left[filter] : 0;
        tile->start[filter] += input_offset * (at_once - (int64_t)weight);
        if (tile->narrow_weights) {
            tile->narrow_weights[filter * stride + line] = (int16_t)at_once;
        } else if (tile->weights) {
            tile->weights[line * tile->filters + filter] = at_once;
        }
    }
}

static void encode(const cyclecast_parameters *p, cyclecast_tile *tile, int64_t *scratch)
{
    const uint32_t tall = cyclecast_rows_per_weight(p);
    const size_t rows = (size_t)tile->lines * tall, columns = (size_t)tile->filters * cyclecast_columns_per_weight(p);
    const workspace work = workspace_in(scratch, columns);
    uint64_t most = 0;
    tile->at_once = p->fast != 0;
    memset(tile->start, 0, tile->filters * sizeof *tile->start);
    if (tile->narrow_weights) {
        memset(tile->narrow_weights, 0,
            tile->filters * CYCLECAST_PADDED_LINES(tile->lines) * sizeof *tile->narrow_weights);
    }
    if (tile->flipped) {
        memset(work.lossy, 0, columns);
        for (size_t first = 0; first < rows; first += p->active_rows) {
            const uint64_t of_phase = encode_phase(p, tile, columns, first, &work);
            most = of_phase > most ? of_phase : most;
        }
        keep(p, tile, columns, &work);
        for (size_t first = 0; (p->flips_columns || tile->at_once) && first < rows; first += p->active_rows) {
            arrange(p, tile, columns, first, &work);
        }
    }
    tile->rows_at_once = most <= UINT8_MAX ? SIZE_MAX : UINT8_MAX / (((size_t)1 << p->cell_bits) - 1);
    for (size_t line = 0; line < tile->lines; ++line) {
        memcpy(work.weights, tile->content + line * tile->filters, tile->filters * sizeof *work.weights);
        for (size_t row = line * tall; tile->at_once && tile->columns > 0 && row < (line + 1) * tall; ++row) {
            take_off(p, tile, row, &work);
        }
        store_line(tile, line, work.weights, cyclecast_input_offset(p));
    }
}

void cyclecast_tile_encode(
    const cyclecast_parameters *p, cyclecast_tile *tile, const cyclecast_call *call, int64_t *scratch)
{
    lay_out(p, tile, call->count, call->filters);
    tile->lines = call->count;
    tile->filters = call->filters;
    memcpy(tile->content, call->values, (size_t)call->count * call->filters * sizeof *tile->content);
    cyclecast_tile_times(p, tile);
    encode(p, tile, scratch);
}
