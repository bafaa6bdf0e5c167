/* {{ title }}: the calls in order, and the place of each tensor. Written by cyclecast {{ version }}. */
#include "network.h"
#include "parts.h"

{{ signature }}
{
{%- for kind, tensor, offset in constants %}
    const {{ kind }} *const {{ tensor }} = (const {{ kind }} *)(weights + {{ offset }});
{%- endfor %}
{%- for kind, tensor, offset in places %}
    {{ kind }} *const {{ tensor }} = ({{ kind }} *)(workspace + {{ offset }});
{%- endfor %}
    unsigned char *const scratch = workspace + {{ scratch }};
    (void)device;
    (void)weights;
    (void)scratch;
{%- for tensor in inputs %}
    (void){{ tensor.name }};
{%- endfor %}
{% for call in calls %}
    {{ call }};
{%- endfor %}
    return CYCLECAST_OK;
}

cyclecast_status network_run_bytes(cyclecast_device *device, const unsigned char *weights,
    const unsigned char *inputs, unsigned char *outputs, unsigned char *workspace)
{
{%- for tensor in inputs %}
    {{ c_type(tensor.kind) }} *const {{ tensor.name }} = ({{ c_type(tensor.kind) }} *)(workspace + {{ input_places[loop.index0] }});
{%- endfor %}
{%- for tensor in outputs %}
    {{ c_type(tensor.kind) }} *const {{ tensor.name }} = ({{ c_type(tensor.kind) }} *)(workspace + {{ output_places[loop.index0] }});
{%- endfor %}
{%- for tensor in inputs %}
    memcpy({{ tensor.name }}, inputs + {{ input_offsets[loop.index0] }}, {{ tensor.bytes }});
{%- endfor %}
    TRY(network_run(device, weights,
{%- for tensor in inputs %} {{ tensor.name }},{% endfor %}
{%- for tensor in outputs %} {{ tensor.name }},{% endfor %} workspace));
{%- for tensor in outputs %}
    memcpy(outputs + {{ output_offsets[loop.index0] }}, {{ tensor.name }}, {{ tensor.bytes }});
{%- endfor %}
    return CYCLECAST_OK;
}
