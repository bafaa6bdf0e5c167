/* {{ title }}: the network's interface. Written by cyclecast {{ version }}. */
#ifndef NETWORK_H
#define NETWORK_H

#include "cyclecast_device.h"

#include <stdbool.h>
#include <stdint.h>

#define NETWORK_NAME "{{ name }}"
#define NETWORK_INPUT_BYTES {{ input_bytes }}
#define NETWORK_OUTPUT_BYTES {{ output_bytes }}
#define NETWORK_WEIGHT_BYTES {{ weight_bytes }}
#define NETWORK_WEIGHT_CRC32 0x{{ "%08x" | format(weight_crc) }}u
#define NETWORK_WORKSPACE_BYTES {{ workspace }} /* aligned to {{ alignment }} */

/* The device that the schedules were made for: {{ device }}. */
extern const cyclecast_parameters network_device;

/* Run the network. `weights` are the bytes of weights.bin, `workspace` is memory of NETWORK_WORKSPACE_BYTES; both are
 * aligned to {{ alignment }} bytes.
{%- for tensor in inputs %}
 * {{ tensor.name }}: {{ tensor.kind }} {{ tensor.shape | join(" x ") or "scalar" }}
{%- endfor %}
{%- for tensor in outputs %}
 * {{ tensor.name }}: {{ tensor.kind }} {{ tensor.shape | join(" x ") or "scalar" }}
{%- endfor %} */
{{ signature }};

/* The same with all inputs in one buffer, one after another, and all outputs in another. */
cyclecast_status network_run_bytes(cyclecast_device *device, const unsigned char *weights,
    const unsigned char *inputs, unsigned char *outputs, unsigned char *workspace);

#endif
