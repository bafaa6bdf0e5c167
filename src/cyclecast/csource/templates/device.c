/* The device that the schedules were made for: {{ device }}. The fields are those of cyclecast_parameters. */
#include "network.h"

const cyclecast_parameters network_device = {
{%- for field, value in parameters.items() %}
    .{{ field }} = {{ value }},
{%- endfor %}
};
