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

// glibc gives threads heaps of their own, up to eight a core, and each keeps what it has freed: as Go moves calls from
// thread to thread, every heap comes to hold a decoded image or a run's outputs. One heap for two cores is as fast.
// This must come before there are other threads; what the environment says is stronger.
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

// Alignment is where every block begins: a cache line, and the widest vector register.
const Alignment = 64

var (
	blocks atomic.Int64
	bytes  atomic.Int64
)

// Blocks is the number of blocks that are not freed, Bytes their size together.
func Blocks() int64 { return blocks.Load() }

// Bytes is the size of all blocks that are not freed.
func Bytes() int64 { return bytes.Load() }

// Trim gives the memory that C's heap has free back to the kernel. glibc keeps all but the end of a heap otherwise.
func Trim() { C.fovea_trim() }

// Block is memory outside Go's heap, which C may keep. Its owner calls Free, after which nothing may touch what
// Bytes returned.
type Block struct {
	p    unsafe.Pointer
	size int
	cuda *CUDA // not nil: pinned, and freed by it
}

// Alloc returns size bytes that begin on a multiple of Alignment and are filled with 0xFF.
func Alloc(size int) (*Block, error) {
	if size <= 0 {
		return nil, fmt.Errorf("a block of %d bytes cannot be allocated", size)
	}
	p := C.fovea_alloc(C.size_t(size), Alignment)
	if p == nil {
		return nil, fmt.Errorf("no memory for %d bytes", size)
	}
	return newBlock(p, size, nil), nil
}

func newBlock(p unsafe.Pointer, size int, cuda *CUDA) *Block {
	C.memset(p, 0xFF, C.size_t(size))
	blocks.Add(1)
	bytes.Add(int64(size))
	return &Block{p: p, size: size, cuda: cuda}
}

// Bytes is the memory itself.
func (b *Block) Bytes() []byte { return unsafe.Slice((*byte)(b.p), b.size) }

// Pinned says whether the GPU can read the memory without a copy by the driver.
func (b *Block) Pinned() bool { return b.cuda != nil }

// Free gives the memory back. A second call does nothing.
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
	bytes.Add(int64(-b.size))
	return err
}
