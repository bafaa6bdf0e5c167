/* Tiles of weights that arrays share: each is encoded once, and found by a hash of what was programmed, which is then
 * compared number by number. Those that no array holds any more are kept for a while, as weights come back in turns. */
#include "cyclecast_reference.h"

#include <stdlib.h>
#include <string.h>

#define MIX UINT64_C(0x9e3779b97f4a7c15)

/* Sums of pairs of weights, and sums of these sums, which tell places apart; four side by side. */
static uint64_t hash_of(const int32_t *weights, uint64_t count, uint32_t filters)
{
    uint64_t a = 0, b = 0, c = 0, d = 0, aa = 0, bb = 0, cc = 0, dd = 0, pairs[4] = {0}, place = 0;
    for (; place + 8 <= count; place += 8) {
        memcpy(pairs, weights + place, sizeof pairs);
        a += pairs[0], b += pairs[1], c += pairs[2], d += pairs[3];
        aa += a, bb += b, cc += c, dd += d;
    }
    memset(pairs, 0, sizeof pairs);
    memcpy(pairs, weights + place, (size_t)(count - place) * sizeof *weights);
    uint64_t hash = count * MIX + filters;
    const uint64_t parts[] = {a, b, c, d, aa, bb, cc, dd, pairs[0], pairs[1], pairs[2], pairs[3]};
    for (size_t part = 0; part < sizeof parts / sizeof *parts; ++part) {
        hash = (hash ^ hash >> 29 ^ parts[part]) * MIX;
    }
    return hash ^ hash >> 32;
}

/* Remove a tile from the list of unused ones. */
static void unlink_unused(cyclecast_reference *r, cyclecast_tile *tile)
{
    *(tile->older ? &tile->older->newer : &r->oldest) = tile->newer;
    *(tile->newer ? &tile->newer->older : &r->newest) = tile->older;
    tile->older = tile->newer = NULL;
    r->unused_bytes -= cyclecast_tile_bytes(&r->base.parameters, tile->lines, tile->filters);
}

static void forget_oldest(cyclecast_reference *r)
{
    cyclecast_tile *const tile = r->oldest;
    cyclecast_tile **link = &r->tiles[tile->hash & r->last_bucket];
    while (*link != tile) {
        link = &(*link)->next;
    }
    *link = tile->next;
    unlink_unused(r, tile);
    r->bytes -= cyclecast_tile_bytes(&r->base.parameters, tile->lines, tile->filters);
    free(tile);
}

int cyclecast_fits(cyclecast_reference *r, uint64_t bytes)
{
    while (r->oldest != NULL && (r->bytes > r->most_bytes || bytes > r->most_bytes - r->bytes)) {
        forget_oldest(r);
    }
    return r->bytes <= r->most_bytes && bytes <= r->most_bytes - r->bytes;
}

cyclecast_tile *cyclecast_tile_find(cyclecast_reference *r, const cyclecast_call *call)
{
    const uint64_t count = (uint64_t)call->count * call->filters, hash = hash_of(call->values, count, call->filters);
    cyclecast_tile *tile = r->tiles[hash & r->last_bucket];
    while (tile != NULL && (tile->hash != hash || tile->lines != call->count || tile->filters != call->filters ||
                               memcmp(tile->content, call->values, (size_t)count * sizeof *tile->content) != 0)) {
        tile = tile->next;
    }
    if (tile != NULL && tile->users++ == 0) {
        unlink_unused(r, tile);
    }
    return tile;
}

cyclecast_tile *cyclecast_tile_new(cyclecast_reference *r, const cyclecast_call *call)
{
    const cyclecast_parameters *const p = &r->base.parameters;
    const uint64_t count = (uint64_t)call->count * call->filters;
    const uint64_t bytes = cyclecast_tile_bytes(p, call->count, call->filters);
    cyclecast_tile *const tile = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL;
    cyclecast_tile **bucket = NULL;
    if (tile == NULL) {
        return NULL;
    }
    cyclecast_tile_encode(p, tile, call, r->scratch);
    tile->users = 1;
    tile->hash = hash_of(call->values, count, call->filters);
    bucket = &r->tiles[tile->hash & r->last_bucket];
    tile->next = *bucket;
    *bucket = tile;
    r->bytes += bytes;
    return tile;
}

void cyclecast_tile_release(cyclecast_reference *r, cyclecast_tile *tile)
{
    if (tile == NULL || --tile->users > 0) {
        return;
    }
    tile->older = r->newest;
    *(r->newest ? &r->newest->newer : &r->oldest) = tile;
    r->newest = tile;
    r->unused_bytes += cyclecast_tile_bytes(&r->base.parameters, tile->lines, tile->filters);
    while (r->oldest != NULL && (r->unused_bytes > CYCLECAST_MOST_UNUSED || r->bytes > r->most_bytes)) {
        forget_oldest(r);
    }
}

void cyclecast_tiles_free(cyclecast_reference *r)
{
    while (r->oldest != NULL) {
        forget_oldest(r);
    }
    free(r->tiles);
}
