#ifndef FOVEA_ARENA_H
#define FOVEA_ARENA_H

#include <stddef.h>

// FOVEA_ARENAS is the largest number of arenas. Runs beyond it share the first.
enum { FOVEA_ARENAS = 1024 };

void *fovea_arena_alloc(size_t size);
void *fovea_arena_reserve(size_t size);
void fovea_arena_free(void *p);
void fovea_arena_trim(void);
void fovea_arena_use(int arena);
size_t fovea_arena_mapped(void);
size_t fovea_arena_used(void);

#endif
