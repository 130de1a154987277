package native

/*
#include "api.h"
#include "arena.h"
#include "place.h"

// fovea_allocator is OrtAllocator up to its version 22.
typedef struct fovea_allocator {
	uint32_t version;
	void *(*alloc)(struct fovea_allocator *, size_t);
	void (*free)(struct fovea_allocator *, void *);
	const void *(*info)(const struct fovea_allocator *);
	void *(*reserve)(struct fovea_allocator *, size_t);
} fovea_allocator;

static void *fovea_memory_info; // OrtMemoryInfo; lives as long as the library, which stays loaded

static void *fovea_do_alloc(fovea_allocator *a, size_t size) { (void)a; return fovea_arena_alloc(size); }
static void *fovea_do_reserve(fovea_allocator *a, size_t size) { (void)a; return fovea_arena_reserve(size); }
static void fovea_do_free(fovea_allocator *a, void *p) { (void)a; fovea_arena_free(p); }
static const void *fovea_do_info(const fovea_allocator *a) { (void)a; return fovea_memory_info; }

static fovea_allocator fovea_arenas = {22, fovea_do_alloc, fovea_do_free, fovea_do_info, fovea_do_reserve};

// fovea_use_arenas registers the arenas as the allocator of the environment, of which there is one in a process.
static char *fovea_use_arenas(void *const *api) {
	void *env = NULL;
	void *status = NULL;
	const int device_allocator = 0, default_memory = 0, fatal = 4; // OrtAllocatorType, OrtMemType, OrtLoggingLevel
	if (fovea_memory_info == NULL)
		status = ((void *(*)(int, int, void **))api[fovea_create_cpu_memory_info])(device_allocator, default_memory, &fovea_memory_info);
	if (status == NULL)
		status = ((void *(*)(int, const char *, void **))api[fovea_create_env])(fatal, "fovea", &env);
	if (status == NULL)
		status = ((void *(*)(void *, fovea_allocator *))api[fovea_register_allocator])(env, &fovea_arenas);
	if (env != NULL)
		((fovea_release_f)api[fovea_release_env])(env);
	return fovea_message(api, status);
}

static void *fovea_alloc_from(int arena, size_t size) {
	fovea_arena_use(arena);
	void *p = fovea_arena_alloc(size);
	fovea_arena_use(0);
	return p;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// UseArenas makes the arenas the allocator of CPU sessions that use that of the environment, which must have been created.
func (a API) UseArenas() error {
	if err := text(C.fovea_use_arenas(a.table)); err != nil {
		return fmt.Errorf("register the arenas: %w", err)
	}
	return nil
}

// Arenas returns the bytes that the arenas have mapped, and those of it that are in use.
func Arenas() (mapped, used int64) {
	return int64(C.fovea_arena_mapped()), int64(C.fovea_arena_used())
}

// TrimArenas returns what is unused of the arenas to the kernel, in whole regions.
func TrimArenas() { C.fovea_arena_trim() }

// AllocFrom allocates size bytes from an arena, aligned to Alignment; nil without memory. FreeTo returns them to it.
func AllocFrom(arena, size int) unsafe.Pointer {
	return C.fovea_alloc_from(C.int(arena), C.size_t(size))
}

// FreeTo returns memory to the arena that it comes from.
func FreeTo(p unsafe.Pointer) { C.fovea_arena_free(p) }

// Place is where a run computes. Every run has one; see place.c.
type Place struct{ place C.fovea_place }

// EnterPlace gives the calling thread a place until Leave, which must be called on the same thread.
func EnterPlace(holdCore bool) Place { return Place{C.fovea_place_enter(C.bool(holdCore))} }

// Leave gives the place back.
func (p *Place) Leave() { C.fovea_place_leave(&p.place) }

// Arena is the arena of the place, which no other place has.
func (p *Place) Arena() int { return int(p.place.arena) }

// Core is the core that the place holds; -1 if it holds none.
func (p *Place) Core() int { return int(p.place.core) }
