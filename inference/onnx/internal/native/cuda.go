package native

/*
#include <stddef.h>

// Signatures from cuda_runtime_api.h; cudaError_t is an int; 0 is success.
typedef int (*fovea_get_count)(int *);
typedef int (*fovea_set_device)(int);
typedef int (*fovea_synchronize)(void);
typedef int (*fovea_host_alloc)(void **, size_t, unsigned int);
typedef int (*fovea_free_host)(void *);
typedef int (*fovea_memory)(size_t *, size_t *);
typedef const char *(*fovea_text)(int);

static int fovea_call_count(void *f, int *n) { return ((fovea_get_count)f)(n); }
static const char *fovea_call_text(void *f, int code) { return ((fovea_text)f)(code); }
static int fovea_call_free_host(void *f, void *p) { return ((fovea_free_host)f)(p); }

// The current device is per thread, so each of these selects it in the same C call.
static int fovea_call_synchronize(void *set, void *f, int device) {
	int err = ((fovea_set_device)set)(device);
	return err ? err : ((fovea_synchronize)f)();
}
static int fovea_call_memory(void *set, void *f, int device, size_t *unused, size_t *all) {
	int err = ((fovea_set_device)set)(device);
	return err ? err : ((fovea_memory)f)(unused, all);
}
static int fovea_call_host_alloc(void *set, void *f, int device, void **p, size_t size) {
	int err = ((fovea_set_device)set)(device);
	return err ? err : ((fovea_host_alloc)f)(p, size, 1); // cudaHostAllocPortable: pinned for every context
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// CUDA holds a few functions of the CUDA runtime library (libcudart).
type CUDA struct {
	count, setDevice, synchronize, memory, hostAlloc, freeHost, name, text unsafe.Pointer
}

// OpenCUDA looks up the functions in a loaded libcudart.
func OpenCUDA(lib *Library) (*CUDA, error) {
	c := &CUDA{}
	for name, p := range map[string]*unsafe.Pointer{
		"cudaGetDeviceCount":    &c.count,
		"cudaSetDevice":         &c.setDevice,
		"cudaDeviceSynchronize": &c.synchronize,
		"cudaMemGetInfo":        &c.memory,
		"cudaHostAlloc":         &c.hostAlloc,
		"cudaFreeHost":          &c.freeHost,
		"cudaGetErrorName":      &c.name,
		"cudaGetErrorString":    &c.text,
	} {
		var err error
		if *p, err = lib.symbol(name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Devices returns the number of CUDA devices the process may use. Without a driver it is an error.
func (c *CUDA) Devices() (int, error) {
	var n C.int
	if code := C.fovea_call_count(c.count, &n); code != 0 {
		return 0, c.err("cudaGetDeviceCount", code)
	}
	return int(n), nil
}

// State waits for all work on the device and returns the CUDA error code that persists there, 0 for none.
func (c *CUDA) State(device int) int {
	return int(C.fovea_call_synchronize(c.setDevice, c.synchronize, C.int(device)))
}

// FreeMemory returns the device's free memory in bytes, over all processes.
func (c *CUDA) FreeMemory(device int) (int64, error) {
	var unused, all C.size_t
	if code := C.fovea_call_memory(c.setDevice, c.memory, C.int(device), &unused, &all); code != 0 {
		return 0, c.err("cudaMemGetInfo", code)
	}
	return int64(unused), nil
}

// AllocPinned is Alloc with pinned memory, which the GPU reads and writes directly.
func (c *CUDA) AllocPinned(device, size int) (*Block, error) {
	if size <= 0 {
		return nil, fmt.Errorf("allocate %d bytes: the size must be positive", size)
	}
	var p unsafe.Pointer
	if code := C.fovea_call_host_alloc(c.setDevice, c.hostAlloc, C.int(device), &p, C.size_t(size)); code != 0 {
		return nil, fmt.Errorf("allocate %d bytes of pinned memory: %w", size, c.err("cudaHostAlloc", code))
	}
	return newBlock(p, size, c), nil
}

func (c *CUDA) freePinned(p unsafe.Pointer) error {
	if code := C.fovea_call_free_host(c.freeHost, p); code != 0 {
		return c.err("cudaFreeHost", code)
	}
	return nil
}

// Describe returns the name and text of a CUDA error code.
func (c *CUDA) Describe(code int) string {
	return fmt.Sprintf("%s (%s)", C.GoString(C.fovea_call_text(c.name, C.int(code))),
		C.GoString(C.fovea_call_text(c.text, C.int(code))))
}

func (c *CUDA) err(call string, code C.int) error {
	return fmt.Errorf("%s: CUDA failure %d: %s", call, int(code), c.Describe(int(code)))
}
