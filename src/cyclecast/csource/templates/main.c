/* Run the network on files: ./network input.bin output.bin [--fast]
 *
 * input.bin holds all inputs one after another, in the machine's byte order; output.bin will hold all outputs.
 * --fast lets the behaviour model skip the bit level where its converters are lossless. */
#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT {{ alignment }}

/* Allocate aligned memory; *memory is the pointer to free. */
static unsigned char *aligned(size_t size, void **memory)
{
    unsigned char *start;
    *memory = malloc(size + ALIGNMENT);
    start = *memory;
    return start == NULL ? NULL : start + (ALIGNMENT - (uintptr_t)start % ALIGNMENT) % ALIGNMENT;
}

/* Read a file of exactly `size` bytes and close it; return whether that succeeded. */
static int read_open_file(FILE *file, const char *path, unsigned char *bytes, size_t size)
{
    int good;
    if (file == NULL) {
        fprintf(stderr, "network: %s cannot be opened\n", path);
        return 0;
    }
    good = fread(bytes, 1, size, file) == size && fgetc(file) == EOF;
    fclose(file);
    if (!good) {
        fprintf(stderr, "network: %s must have exactly %lu bytes\n", path, (unsigned long)size);
    }
    return good;
}

static int read_file(const char *path, unsigned char *bytes, size_t size)
{
    return read_open_file(fopen(path, "rb"), path, bytes, size);
}

/* Read weights.bin from the current folder or, if it has none, from the program's folder. */
static int read_weights(const char *program, unsigned char *bytes)
{
    static const char name[] = "weights.bin";
    const char *const slash = strrchr(program, '/');
    FILE *file = fopen(name, "rb");
    char path[4096];
    if (file == NULL && slash != NULL && (size_t)(slash + 1 - program) + sizeof name <= sizeof path) {
        memcpy(path, program, (size_t)(slash + 1 - program));
        memcpy(path + (slash + 1 - program), name, sizeof name);
        file = fopen(path, "rb");
    }
    return read_open_file(file, name, bytes, NETWORK_WEIGHT_BYTES);
}

static int write_file(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *const file = fopen(path, "wb");
    int good = file != NULL && fwrite(bytes, 1, size, file) == size;
    good = file != NULL && fclose(file) == 0 && good;
    if (!good) {
        fprintf(stderr, "network: %s cannot be written\n", path);
    }
    return good;
}

static uint32_t crc32_of(const unsigned char *bytes, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t place = 0; place < size; ++place) {
        crc ^= bytes[place];
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static void report(cyclecast_device *device)
{
    const cyclecast_counters *const counters = cyclecast_read_counters(device);
    printf("compute %llu cycles, %llu products\n",
        (unsigned long long)cyclecast_cycles(device, counters->compute_fs), (unsigned long long)counters->products);
    printf("write %llu cycles, %llu arrays programmed\n",
        (unsigned long long)cyclecast_cycles(device, counters->write_fs), (unsigned long long)counters->programs);
}

{% if reals -%}
/* Report the number of NaN values of a tensor; quantisation takes these as 0. */
static void count_nan(const char *name, const unsigned char *bytes, unsigned long count, size_t size)
{
    unsigned long found = 0;
    for (unsigned long place = 0; place < count; ++place) {
        float narrow = 0;
        double value = 0;
        if (size == sizeof narrow) {
            memcpy(&narrow, bytes + place * size, sizeof narrow);
            value = (double)narrow;
        } else {
            memcpy(&value, bytes + place * size, sizeof value);
        }
        found += value != value;
    }
    if (found > 0) {
        fprintf(stderr, "network: %s has %lu values that are no numbers (NaN), of %lu\n", name, found, count);
    }
}

{% endif -%}
static int run(const char *program, const char *input, const char *output, int fast)
{
    void *memory = NULL;
    cyclecast_parameters parameters = network_device;
    cyclecast_device *device = NULL;
    const size_t size = (size_t)NETWORK_WEIGHT_BYTES + NETWORK_WORKSPACE_BYTES + NETWORK_INPUT_BYTES;
    unsigned char *const weights = aligned(size + NETWORK_OUTPUT_BYTES, &memory);
    unsigned char *workspace, *inputs, *outputs;
    int good = 0;
    if (weights == NULL) {
        fprintf(stderr, "network: there is no memory left\n");
        return 0;
    }
    workspace = weights + NETWORK_WEIGHT_BYTES;
    inputs = workspace + NETWORK_WORKSPACE_BYTES;
    outputs = inputs + NETWORK_INPUT_BYTES;
    parameters.fast = (uint32_t)fast;
    if (!read_weights(program, weights) || !read_file(input, inputs, NETWORK_INPUT_BYTES)) {
        good = 0; /* the error has been printed */
    } else if (crc32_of(weights, NETWORK_WEIGHT_BYTES) != NETWORK_WEIGHT_CRC32) {
        fprintf(stderr, "network: weights.bin is not the one that was written with this program\n");
    } else if (cyclecast_open(&parameters, &device) != CYCLECAST_OK) {
        fprintf(stderr, "network: the device cannot be opened\n");
    } else if (network_run_bytes(device, weights, inputs, outputs, workspace) != CYCLECAST_OK) {
        fprintf(stderr, "network: %s\n", cyclecast_message(device));
    } else {
        report(device);
{%- for real in reals %}
        count_nan("{{ real.name }}", {{ real.place }}, {{ real.count }}, {{ real.size }});
{%- endfor %}
        good = write_file(output, outputs, NETWORK_OUTPUT_BYTES);
    }
    cyclecast_close(device);
    free(memory);
    return good;
}

int main(int count, char **arguments)
{
    const int fast = count == 4 && strcmp(arguments[3], "--fast") == 0;
    if (count != 3 && !fast) {
        fprintf(stderr, "usage: %s input.bin output.bin [--fast]\n", arguments[0]);
        return 2;
    }
    return run(arguments[0], arguments[1], arguments[2], fast) ? 0 : 1;
}
