/* {{ title }}: the functions that network.c calls. */
#ifndef PARTS_H
#define PARTS_H

#include "cyclecast_host.h"

/* Places on {{ device }}, outermost level first: {{ levels | join(", ") }}. */
{%- for level in levels %}
static inline cyclecast_place at_{{ level }}(
{%- for outer in levels[:loop.index] %}uint32_t {{ outer }}{{ "" if loop.last else ", " }}{% endfor %})
{
    const cyclecast_place place = { {{- loop.index }}, { {{- levels[:loop.index] | join(", ") -}} } };
    return place;
}
{% endfor %}
{%- for part in parts %}
{{ part.declaration }};
{%- endfor %}

#endif
