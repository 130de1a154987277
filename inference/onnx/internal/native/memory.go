package native

/*
#include <stdlib.h>
#include <string.h>

static void *fovea_alloc(size_t size, size_t alignment) {
	void *p = NULL;
	return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

#ifdef __GLIBC__
#include <malloc.h>
#include <unistd.h>
static void fovea_trim(void) { malloc_trim(0); }

// glibc gives threads separate heaps (its M_ARENA_MAX), up to eight per core, and each retains what it has freed: as Go
// moves calls between threads, every heap ends up holding a decoded image or a run's outputs. One heap per two cores is as
// fast. This must run before other threads start. The environment takes precedence.
__attribute__((constructor)) static void fovea_few_heaps(void) {
	const char *tunables = getenv("GLIBC_TUNABLES");
	if (getenv("MALLOC_ARENA_MAX") == NULL && (tunables == NULL || strstr(tunables, "glibc.malloc.arena_max") == NULL)) {
		const long cores = sysconf(_SC_NPROCESSORS_ONLN);
		mallopt(M_ARENA_MAX, cores < 4 ? 1 : (int)(cores / 2));
	}
}
#else
static void fovea_trim(void) {}
#endif
*/
import "C"

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Alignment is the alignment of every block in bytes: a cache line, and the widest vector register.
const Alignment = 64

var blocks atomic.Int64

// Blocks returns the number of blocks that have not been freed.
func Blocks() int64 { return blocks.Load() }

// Trim returns free memory of the C heap to the kernel. Otherwise glibc returns only the end of the heap.
func Trim() { C.fovea_trim() }

// Block is memory outside Go's heap, which C may keep. Its owner calls Free; the result of Bytes must not be used after
// that.
type Block struct {
	p    unsafe.Pointer
	size int
	cuda *CUDA // allocated the memory if it is pinned, else nil
}

// Alloc allocates size bytes, aligned to Alignment and filled with 0xFF.
func Alloc(size int) (*Block, error) {
	if size <= 0 {
		return nil, fmt.Errorf("allocate %d bytes: the size must be positive", size)
	}
	p := C.fovea_alloc(C.size_t(size), Alignment)
	if p == nil {
		return nil, fmt.Errorf("allocate %d bytes: out of memory", size)
	}
	return newBlock(p, size, nil), nil
}

func newBlock(p unsafe.Pointer, size int, cuda *CUDA) *Block {
	C.memset(p, 0xFF, C.size_t(size))
	blocks.Add(1)
	return &Block{p: p, size: size, cuda: cuda}
}

// Bytes returns the memory itself.
func (b *Block) Bytes() []byte { return unsafe.Slice((*byte)(b.p), b.size) }

// Pinned reports whether the memory is pinned.
func (b *Block) Pinned() bool { return b.cuda != nil }

// Free frees the memory. Calling it again does nothing.
func (b *Block) Free() error {
	if b.p == nil {
		return nil
	}
	var err error
	if b.cuda != nil {
		err = b.cuda.freePinned(b.p)
	} else {
		C.free(b.p)
	}
	b.p = nil
	blocks.Add(-1)
	return err
}
