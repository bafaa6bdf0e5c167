/* The interface between a generated program and a compute-in-memory device.
 *
 * A device is a tree of levels, for instance PEs of CUs of arrays. An array is written (its weights are programmed) in
 * the state WRITE and multiplies in the state READ. Input vectors move down the tree in tiles, one for each array; sums
 * move up and are accumulated on the way:
 *
 *     host --send--> inputs of the device --move--> inputs of a PE --move--> inputs of a CU --stream--> array
 *     host <-receive- sums of the device <-accumulate- sums of a PE <-accumulate- sums of a CU <-accumulate- array
 *
 * Above the arrays, inputs and sums are kept in slots: a slot holds one tile of inputs (a value per word line) or one
 * tile of sums (a value per filter), or nothing. A node has a slot of each kind for every array in it.
 *
 * Every call returns CYCLECAST_OK, or an error that cyclecast_message() explains; after an error, nothing has changed.
 * A program needs this header only; a driver implements `struct cyclecast_driver`.
 */
#ifndef CYCLECAST_DEVICE_H
#define CYCLECAST_DEVICE_H

#include <stdint.h>

#define CYCLECAST_VERSION 1 /* of this interface */
#define CYCLECAST_LEVELS 8  /* at most, the level of the arrays included */
#define CYCLECAST_STEPS 32  /* input steps of one product, at most */

typedef enum {
    CYCLECAST_OK = 0,
    CYCLECAST_RANGE = 1,     /* an index, a slot, a size or a value out of range */
    CYCLECAST_STATE = 2,     /* wrong state of the array: a write in READ, or a product in WRITE */
    CYCLECAST_UNWRITTEN = 3, /* the array holds no weights */
    CYCLECAST_BUSY = 4,      /* a product is under way: wait first */
    CYCLECAST_EMPTY = 5,     /* the slot, the input register or the result is empty */
    CYCLECAST_MISMATCH = 6,  /* tiles of different sizes */
    CYCLECAST_MEMORY = 7,    /* the driver is out of memory */
    CYCLECAST_HARDWARE = 8   /* a real device does not answer correctly */
} cyclecast_status;

/* A node of the device: `depth` indices, outermost level first. Depth 0 is the device itself; an array has an index
 * for every level. */
typedef struct {
    uint32_t depth;
    uint32_t at[CYCLECAST_LEVELS];
} cyclecast_place;

typedef enum {
    CYCLECAST_BEGIN = 0,
    CYCLECAST_TO_WRITE = 1,
    CYCLECAST_TO_READ = 2,
    CYCLECAST_PROGRAM = 3,
    CYCLECAST_SEND = 4,
    CYCLECAST_MOVE = 5,
    CYCLECAST_STREAM = 6,
    CYCLECAST_START = 7,
    CYCLECAST_WAIT = 8,
    CYCLECAST_ACCUMULATE = 9,
    CYCLECAST_RECEIVE = 10
} cyclecast_operation;
#define CYCLECAST_OPERATIONS 11

/* One call as a value, for drivers, observers and traces. Unused fields are 0. */
typedef struct {
    cyclecast_operation operation;
    cyclecast_place place;
    uint32_t slot;         /* the first one */
    uint32_t count;        /* word lines, values, sums or slots */
    uint32_t filters;      /* of the weights */
    const int32_t *values; /* weights (count x filters, one word line after another) or inputs (count) */
    int64_t *sums;         /* buffer for count sums */
    const char *name;      /* of the workload that begins */
} cyclecast_call;

/* Events since the device was opened. Times are those of the analytical timing model. */
typedef struct {
    uint64_t compute_fs;                   /* products; arrays started between two waits work in parallel [fs] */
    uint64_t write_fs;                     /* programming, with write_arrays arrays in parallel [fs] */
    uint64_t programs;                     /* arrays programmed */
    uint64_t products;                     /* matrix-vector products of single arrays */
    uint64_t waits;                        /* waits with a product or programming in progress */
    uint64_t inputs[CYCLECAST_LEVELS + 1]; /* tiles of inputs moved into the nodes of each depth; the last: arrays */
    uint64_t sums[CYCLECAST_LEVELS + 1];   /* tiles of sums moved out of them */
} cyclecast_counters;

/* How signed weights are stored. */
typedef enum {
    CYCLECAST_OFFSET = 0,               /* half their range is added */
    CYCLECAST_DIFFERENTIAL_COLUMNS = 1, /* positive and negative columns, converted separately */
    CYCLECAST_DIFFERENTIAL_ROWS = 2     /* pairs of word lines with opposite signs */
} cyclecast_encoding;

/* Parameters of a device. The behaviour model uses all of them; a driver of real hardware may ignore most. */
typedef struct {
    uint32_t levels;                      /* 1 to CYCLECAST_LEVELS */
    uint32_t counts[CYCLECAST_LEVELS];    /* instances of a level in one instance of the outer level, outermost first */
    uint32_t rows, columns;               /* word lines and bit lines of an array */
    uint32_t active_rows, active_columns; /* read at once */
    uint32_t skips_unused;                /* whether lines without weights cost no time */
    uint32_t weight_bits, input_bits;
    uint32_t cell_bits; /* bits of a slice of a weight; each slice has its own column */
    cyclecast_encoding encoding;
    uint32_t flips_columns;  /* columns are stored complemented if that halves the largest sum */
    uint32_t sign_magnitude; /* inputs are driven with either polarity; otherwise two's complement */
    uint32_t digital;        /* sums are exact, without ADCs */
    uint32_t adc_bits, adcs, adc_overlap;
    uint64_t adc_period_fs;    /* one conversion takes step_periods periods ... */
    uint64_t adc_period_parts; /* ... of adc_period_fs / adc_period_parts femtoseconds */
    uint32_t steps;            /* input steps of one product */
    uint32_t step_bits[CYCLECAST_STEPS];
    uint64_t step_read_fs[CYCLECAST_STEPS];
    uint32_t step_periods[CYCLECAST_STEPS];
    uint32_t write_rows, write_columns, write_arrays; /* programmed at once */
    uint64_t write_fs;                                /* one such write: all pulses, with verification */
    uint64_t cycle_fs;                                /* one read of an array */
    uint32_t fast; /* the behaviour model may skip the bit level where its converters are lossless */
} cyclecast_parameters;

typedef struct cyclecast_device cyclecast_device;
typedef void (*cyclecast_observer)(void *context, const cyclecast_call *call);

/* The functions of a driver. `call` must not change the device if it returns an error. */
typedef struct cyclecast_driver {
    cyclecast_status (*call)(cyclecast_device *device, const cyclecast_call *call);
    const cyclecast_counters *(*counters)(cyclecast_device *device);
    void (*close)(cyclecast_device *device);
} cyclecast_driver;

/* Every driver's device structure begins with this one. */
struct cyclecast_device {
    const cyclecast_driver *driver;
    cyclecast_parameters parameters;
    cyclecast_observer observer;
    void *context;
    char message[160];
};

/* Open the device of the driver that the program was linked with. */
cyclecast_status cyclecast_open(const cyclecast_parameters *parameters, cyclecast_device **device);
void cyclecast_close(cyclecast_device *device);

/* Reason for the last error; empty if there was none. */
const char *cyclecast_message(const cyclecast_device *device);

/* Call `observer` after every successful call; NULL removes it. */
void cyclecast_observe(cyclecast_device *device, cyclecast_observer observer, void *context);

/* Counters; and femtoseconds in device cycles (a cycle is one read of an array), rounded up. */
const cyclecast_counters *cyclecast_read_counters(cyclecast_device *device);
uint64_t cyclecast_cycles(const cyclecast_device *device, uint64_t femtoseconds);

/* Execute a call given as a value. The functions below do the same for one operation each. */
cyclecast_status cyclecast_execute(cyclecast_device *device, const cyclecast_call *call);

/* Name the workload of the following calls, for observers; drivers ignore it. */
cyclecast_status cyclecast_begin(cyclecast_device *device, const char *workload);

/* Switch an array to the state WRITE or READ. READ needs weights; neither is possible during a product. */
cyclecast_status cyclecast_to_write(cyclecast_device *device, cyclecast_place array);
cyclecast_status cyclecast_to_read(cyclecast_device *device, cyclecast_place array);

/* Program an array in the state WRITE with lines x filters weights, the filters of a line side by side. */
cyclecast_status cyclecast_program(
    cyclecast_device *device, cyclecast_place array, const int32_t *weights, uint32_t lines, uint32_t filters);

/* Put one tile of inputs into a slot of the device itself. */
cyclecast_status cyclecast_send(cyclecast_device *device, uint32_t slot, const int32_t *values, uint32_t count);

/* Copy tiles of inputs from `slot` and the following slots of the node above `to` to the first slots of `to`. */
cyclecast_status cyclecast_move(cyclecast_device *device, cyclecast_place to, uint32_t slot, uint32_t slots);

/* Stream the tile in a slot of the node above an array to the array's word lines, in input steps. */
cyclecast_status cyclecast_stream(cyclecast_device *device, cyclecast_place array, uint32_t slot);

/* Start the product of the streamed inputs with the array's weights; the result is ready after the next wait. */
cyclecast_status cyclecast_start(cyclecast_device *device, cyclecast_place array);

/* Wait until all products and all programming are done. */
cyclecast_status cyclecast_wait(cyclecast_device *device);

/* Add the first tiles of sums of `from` (its result, if it is an array) to those in `slot` and the following slots of
 * the node above. The tiles are removed from `from`; an empty slot takes a tile unchanged. */
cyclecast_status cyclecast_accumulate(cyclecast_device *device, cyclecast_place from, uint32_t slot, uint32_t slots);

/* Remove one tile of sums from a slot of the device itself. */
cyclecast_status cyclecast_receive(cyclecast_device *device, uint32_t slot, int64_t *sums, uint32_t count);

#endif
