// Arenas: where ONNX Runtime gets the intermediate tensors of runs from. Each concurrent run has an arena to itself, so that
// what it allocates was last used by the same core and is in that core's cache. With one arena for all, every buffer was
// last written by another core.
//
// An arena holds regions of memory, divided into chunks. A chunk is free or in use; free neighbors are merged. The smallest
// chunk that is large enough is used, which keeps the memory close to the peak of what is in use at once.

#define _GNU_SOURCE
#include "arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	alignment = 64,           // of memory in bytes: a cache line, and the widest vector register
	smallest = 256,           // bytes of a chunk that is split off
	region_size = 4 << 20,    // bytes; untouched pages take no memory
	page = 4096,
};

struct arena;

// chunk precedes its memory.
struct chunk {
	struct arena *arena; // NULL: reserved, from the C heap
	size_t size;         // in bytes, with this header
	struct chunk *before; // in memory; NULL: the first of its region
	struct chunk *next, *previous; // of the free list
	bool free;
	bool last; // of its region
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct chunk) == alignment, "memory must be aligned");

struct arena {
	pthread_mutex_t lock; // outputs are freed on other threads
	struct chunk *free;
	size_t mapped, used; // bytes of regions, and of chunks in use
};

static struct arena arenas[FOVEA_ARENAS] = {[0 ... FOVEA_ARENAS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};
static __thread int current; // the arena of this thread's allocations

void fovea_arena_use(int arena) { current = arena; }

static void *memory_of(struct chunk *c) { return c + 1; }
static struct chunk *chunk_of(void *p) { return (struct chunk *)p - 1; }
static struct chunk *after(struct chunk *c) { return c->last ? NULL : (struct chunk *)((char *)c + c->size); }

static void list(struct arena *a, struct chunk *c) {
	c->free = true;
	c->previous = NULL;
	c->next = a->free;
	if (a->free != NULL)
		a->free->previous = c;
	a->free = c;
}

static void unlist(struct arena *a, struct chunk *c) {
	c->free = false;
	*(c->previous != NULL ? &c->previous->next : &a->free) = c->next;
	if (c->next != NULL)
		c->next->previous = c->previous;
}

// rounded is the size of a chunk with size bytes of memory; 0 if there is none as large.
static size_t rounded(size_t size, size_t unit) {
	size_t all;
	if (__builtin_add_overflow(size, sizeof(struct chunk) + unit - 1, &all))
		return 0;
	return all / unit * unit;
}

static struct chunk *map(size_t size) {
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	struct chunk *c = p;
	*c = (struct chunk){.size = size, .last = true};
	return c;
}

// best is the smallest free chunk of at least size bytes, of equal ones the first in memory.
static struct chunk *best(struct arena *a, size_t size) {
	struct chunk *found = NULL;
	for (struct chunk *c = a->free; c != NULL; c = c->next)
		if (c->size >= size && (found == NULL || c->size < found->size || (c->size == found->size && c < found)))
			found = c;
	return found;
}

// split leaves size bytes to a chunk, and lists the rest.
static void split(struct arena *a, struct chunk *c, size_t size) {
	if (c->size - size < smallest)
		return;
	struct chunk *rest = (struct chunk *)((char *)c + size);
	*rest = (struct chunk){.arena = a, .size = c->size - size, .before = c, .last = c->last};
	if (!rest->last)
		after(rest)->before = rest;
	c->size = size;
	c->last = false;
	list(a, rest);
}

void *fovea_arena_alloc(size_t size) {
	struct arena *a = &arenas[current];
	const size_t want = rounded(size, alignment);
	if (want == 0)
		return NULL;
	pthread_mutex_lock(&a->lock);
	struct chunk *c = best(a, want);
	if (c != NULL) {
		unlist(a, c);
	} else if ((c = map(want < region_size ? region_size : rounded(size, page))) != NULL) {
		c->arena = a;
		a->mapped += c->size;
	}
	if (c != NULL) {
		split(a, c, want);
		a->used += c->size;
	}
	pthread_mutex_unlock(&a->lock);
	return c == NULL ? NULL : memory_of(c);
}

// fovea_arena_reserve allocates what lives long, such as weights, outside the arenas, where it would leave holes.
void *fovea_arena_reserve(size_t size) {
	const size_t want = rounded(size, alignment);
	void *p = NULL;
	if (want == 0 || posix_memalign(&p, alignment, want) != 0)
		return NULL;
	struct chunk *c = p;
	*c = (struct chunk){.size = want};
	return memory_of(c);
}

// merge makes one chunk of two neighbors.
static void merge(struct chunk *c, struct chunk *next) {
	c->size += next->size;
	c->last = next->last;
	if (!c->last)
		after(c)->before = c;
}

void fovea_arena_free(void *p) {
	if (p == NULL)
		return;
	struct chunk *c = chunk_of(p);
	struct arena *a = c->arena;
	if (a == NULL) {
		free(c);
		return;
	}
	pthread_mutex_lock(&a->lock);
	a->used -= c->size;
	struct chunk *next = after(c), *before = c->before;
	if (next != NULL && next->free) {
		unlist(a, next);
		merge(c, next);
	}
	if (before != NULL && before->free) {
		unlist(a, before);
		merge(before, c);
		c = before;
	}
	list(a, c);
	pthread_mutex_unlock(&a->lock);
}

// fovea_arena_trim returns the regions without chunks in use to the kernel.
void fovea_arena_trim(void) {
	for (int i = 0; i < FOVEA_ARENAS; i++) {
		struct arena *a = &arenas[i];
		pthread_mutex_lock(&a->lock);
		for (struct chunk *c = a->free, *next; c != NULL; c = next) {
			next = c->next;
			if (c->before == NULL && c->last) {
				unlist(a, c);
				a->mapped -= c->size;
				munmap(c, c->size);
			}
		}
		pthread_mutex_unlock(&a->lock);
	}
}

static size_t sum(size_t (*of)(struct arena *)) {
	size_t total = 0;
	for (int i = 0; i < FOVEA_ARENAS; i++) {
		pthread_mutex_lock(&arenas[i].lock);
		total += of(&arenas[i]);
		pthread_mutex_unlock(&arenas[i].lock);
	}
	return total;
}

static size_t mapped_of(struct arena *a) { return a->mapped; }
static size_t used_of(struct arena *a) { return a->used; }

// fovea_arena_mapped is the size of all regions in bytes; fovea_arena_used is that of the chunks in use.
size_t fovea_arena_mapped(void) { return sum(mapped_of); }
size_t fovea_arena_used(void) { return sum(used_of); }
