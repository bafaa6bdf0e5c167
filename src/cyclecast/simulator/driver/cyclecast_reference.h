/* The parts of the behaviour model: one array (cyclecast_array.c, cyclecast_multiply.c), its weights
 * (cyclecast_tile.c, cyclecast_encode.c), the slots of the levels around it (cyclecast_slots.c), and the device of all these
 * (cyclecast_reference.c). */
#ifndef CYCLECAST_REFERENCE_H
#define CYCLECAST_REFERENCE_H

#include "cyclecast_device.h"

#include <stddef.h>

#define CYCLECAST_MOST_LINES 65536u              /* word lines or bit lines of an array */
#define CYCLECAST_MOST_ARRAYS 1048576u           /* of a device */
#define CYCLECAST_MOST_BYTES ((uint64_t)4 << 30) /* for all arrays and slots, unless another limit is given */
#define CYCLECAST_MOST_UNUSED ((uint64_t)64 << 20) /* of these, for weights that no array holds at the moment */

/* The weights of one array or more, encoded. */
typedef struct cyclecast_tile {
    struct cyclecast_tile *next;            /* with the same end of its hash */
    struct cyclecast_tile *older, *newer;   /* among those that no array holds */
    uint64_t hash;
    uint32_t users; /* arrays that hold it */
    uint32_t lines;
    uint32_t filters;
    uint64_t product_fs;     /* what one product takes */
    uint64_t write_fs;       /* what programming these weights takes */
    int32_t *content;        /* as they were programmed: lines x filters */
    int64_t *start;          /* what every sum begins with: filters */
    int at_once;             /* some columns or all are multiplied at once */
    int16_t *narrow_weights; /* what of the weights is: filters x lines, padded; NULL where they are not small */
    int32_t *weights;        /* in their place: lines x filters */
    uint32_t columns;        /* read bit by bit: all, those that may saturate, or none */
    uint32_t *filter_of;     /* columns */
    int64_t *weight_of;      /* what a column counts for: columns */
    uint8_t *flipped;        /* whether a column is stored complemented: row phases x columns */
    uint8_t *byte_cells;     /* as they are stored: word lines x stride; NULL where they are in `cells` */
    uint16_t *cells;         /* row phases x columns x their word lines */
    size_t stride;       /* columns filled up */
    size_t rows_at_once; /* word lines whose cells add up in 8 bits, whichever they are */
} cyclecast_tile;

typedef struct {
    int reading;          /* in the state READ, else WRITE */
    int started;          /* a product is under way */
    cyclecast_tile *tile; /* NULL before it is programmed */
    int32_t *inputs;      /* what was streamed: lines */
    int streamed;
    int64_t *result;   /* filters */
    int finished;      /* there is a result that was not taken */
    uint64_t capacity; /* of `result`, which has the inputs after it [bytes] */
} cyclecast_array;

typedef struct {
    uint32_t count;    /* 0 of an empty slot */
    uint32_t capacity; /* of `values` */
    int64_t *values;
} cyclecast_slot;

typedef struct {
    cyclecast_slot *inputs;
    cyclecast_slot *sums;
} cyclecast_node;

typedef struct {
    cyclecast_device base;
    cyclecast_counters counters;
    uint64_t inside[CYCLECAST_LEVELS + 1]; /* arrays in one node of each depth: how many slots it has */
    uint64_t first[CYCLECAST_LEVELS + 1];  /* where the nodes of each depth begin */
    cyclecast_node *nodes;
    cyclecast_array *arrays;
    uint32_t *started; /* indices of arrays with a product under way */
    uint32_t started_count;
    uint64_t longest_fs; /* of the products under way */
    uint64_t written;    /* arrays programmed since the last wait */
    uint64_t longest_write_fs;
    cyclecast_tile **tiles; /* by hash */
    uint64_t last_bucket;
    cyclecast_tile *oldest, *newest; /* of those that no array holds */
    uint64_t unused_bytes;           /* of all these */
    int64_t *scratch;
    uint64_t bytes; /* in use: all arrays and slots, and what they hold */
    uint64_t most_bytes;
} cyclecast_reference;

/* Open the behaviour model; cyclecast_open is the same, unless it is behind windows (CYCLECAST_BEHIND_WINDOWS). */
cyclecast_status cyclecast_reference_open(const cyclecast_parameters *parameters, cyclecast_device **device);

/* The same with another limit of its memory [bytes]. */
cyclecast_status cyclecast_reference_open_within(
    const cyclecast_parameters *parameters, uint64_t most_bytes, cyclecast_device **device);

/* Whether so many bytes more are within the limit, without weights that no array holds if need be. */
int cyclecast_fits(cyclecast_reference *device, uint64_t bytes);

/* Note what is wrong, and two numbers that say it; the status, for returning it. */
cyclecast_status cyclecast_fail(
    cyclecast_reference *device, cyclecast_status status, const char *what, uint64_t is, uint64_t bound);
cyclecast_status cyclecast_refuse(cyclecast_reference *device, cyclecast_status status, const char *why);

/* Whether a device can be modelled; if not, what is wrong with it. */
const char *cyclecast_refused(const cyclecast_parameters *parameters);

/* Whether converters tell all sums apart. */
int cyclecast_lossless(const cyclecast_parameters *parameters);

uint32_t cyclecast_rows_per_weight(const cyclecast_parameters *parameters);
uint32_t cyclecast_slices(const cyclecast_parameters *parameters); /* of one weight */
uint32_t cyclecast_columns_per_weight(const cyclecast_parameters *parameters);
uint32_t cyclecast_most_lines(const cyclecast_parameters *parameters);   /* values one above the other in an array */
uint32_t cyclecast_most_filters(const cyclecast_parameters *parameters); /* weights side by side in an array */

/* The place of the first value out of range, or -1. */
int64_t cyclecast_weight_out_of_range(const cyclecast_parameters *parameters, const int32_t *weights, uint64_t count);
int64_t cyclecast_input_out_of_range(const cyclecast_parameters *parameters, const int32_t *inputs, uint64_t count);

/* The largest and the least number that a converter tells. */
int64_t cyclecast_most_code(const cyclecast_parameters *parameters);
int64_t cyclecast_least_code(const cyclecast_parameters *parameters);

/* What is added to inputs before they are driven, and taken off their products. */
int64_t cyclecast_input_offset(const cyclecast_parameters *parameters);

/* Whether weights and inputs fit 16 bits and the sums of any array 32. */
int cyclecast_narrow(const cyclecast_parameters *parameters);

/* Whether cells are stored in bytes: inputs are driven bit by bit, and bytes hold the sums of several cells. */
int cyclecast_in_bytes(const cyclecast_parameters *parameters);

/* Columns of cells in bytes, and lines of narrow weights, are filled up with zeros. */
#define CYCLECAST_PADDED_COLUMNS(columns) (((size_t)(columns) + 31) / 32 * 32)
#define CYCLECAST_PADDED_LINES(lines) (((size_t)(lines) + 7) / 8 * 8)

/* Note how long programming a tile and a product with it take. */
void cyclecast_tile_times(const cyclecast_parameters *parameters, cyclecast_tile *tile);

/* Encode the weights of a call in the memory of a tile, which has cyclecast_tile_bytes. */
void cyclecast_tile_encode(
    const cyclecast_parameters *parameters, cyclecast_tile *tile, const cyclecast_call *call, int64_t *scratch);

/* The tile of the weights of a call, for one array more; NULL if there is none. */
cyclecast_tile *cyclecast_tile_find(cyclecast_reference *device, const cyclecast_call *call);

/* A new one for one array, found from now on; NULL without memory. */
cyclecast_tile *cyclecast_tile_new(cyclecast_reference *device, const cyclecast_call *call);

/* One array less holds it. */
void cyclecast_tile_release(cyclecast_reference *device, cyclecast_tile *tile);

/* Free all tiles, after the arrays have released theirs. */
void cyclecast_tiles_free(cyclecast_reference *device);

uint64_t cyclecast_tile_bytes(const cyclecast_parameters *parameters, uint64_t lines, uint64_t filters);

/* Values of 64 bits that encoding and multiplying need besides. */
uint64_t cyclecast_scratch(const cyclecast_parameters *parameters);

/* Multiply what was streamed; the result is in `result`. */
void cyclecast_array_multiply(const cyclecast_parameters *parameters, cyclecast_array *array, int64_t *scratch);

/* Calls that move tiles between slots (cyclecast_slots.c). Their places have been checked. */
cyclecast_status cyclecast_slots_send(cyclecast_reference *device, const cyclecast_call *call);
cyclecast_status cyclecast_slots_move(cyclecast_reference *device, const cyclecast_call *call);
cyclecast_status cyclecast_slots_stream(
    cyclecast_reference *device, cyclecast_array *array, const cyclecast_call *call);
cyclecast_status cyclecast_slots_result(
    cyclecast_reference *device, cyclecast_array *array, const cyclecast_call *call);
cyclecast_status cyclecast_slots_accumulate(cyclecast_reference *device, const cyclecast_call *call);
cyclecast_status cyclecast_slots_receive(cyclecast_reference *device, const cyclecast_call *call);
void cyclecast_slots_free(cyclecast_slot *slots, uint64_t count);

/* The number of a place among those of its depth. */
uint64_t cyclecast_number(const cyclecast_parameters *parameters, const cyclecast_place *place);

#endif
