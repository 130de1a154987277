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
typedef int (*fovea_attribute)(int *, int, int);
typedef int (*fovea_version)(int *);

static int fovea_call_count(void *f, int *n) { return ((fovea_get_count)f)(n); }
static const char *fovea_call_text(void *f, int code) { return ((fovea_text)f)(code); }
static int fovea_call_attribute(void *f, int *value, int attribute, int device) { return ((fovea_attribute)f)(value, attribute, device); }
static int fovea_call_version(void *f, int *version) { return ((fovea_version)f)(version); }
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

	lib *Library
}

// OpenCUDA looks up the functions in a loaded libcudart.
func OpenCUDA(lib *Library) (*CUDA, error) {
	c := &CUDA{lib: lib}
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

// Hardware is the model of a device, as far as compiled code depends on it.
type Hardware struct {
	Major, Minor    int   // compute capability
	Multiprocessors int   // number of them
	Memory          int64 // bytes
}

// The numbers of cudaDeviceAttr.
const attrMultiprocessors, attrMajor, attrMinor = 16, 75, 76

// Hardware describes a device.
func (c *CUDA) Hardware(device int) (h Hardware, err error) {
	get, err := c.lib.symbol("cudaDeviceGetAttribute")
	if err != nil {
		return Hardware{}, err
	}
	for _, a := range []struct {
		number int
		to     *int
	}{{attrMajor, &h.Major}, {attrMinor, &h.Minor}, {attrMultiprocessors, &h.Multiprocessors}} {
		var value C.int
		if code := C.fovea_call_attribute(get, &value, C.int(a.number), C.int(device)); code != 0 {
			return Hardware{}, c.err("cudaDeviceGetAttribute", code)
		}
		*a.to = int(value)
	}
	var unused, all C.size_t
	if code := C.fovea_call_memory(c.setDevice, c.memory, C.int(device), &unused, &all); code != 0 {
		return Hardware{}, c.err("cudaMemGetInfo", code)
	}
	h.Memory = int64(all)
	return h, nil
}

// Versions returns the CUDA version that the driver supports, and that of the runtime library, such as 13000.
func (c *CUDA) Versions() (driver, runtime int, err error) {
	for name, to := range map[string]*int{"cudaDriverGetVersion": &driver, "cudaRuntimeGetVersion": &runtime} {
		get, err := c.lib.symbol(name)
		if err != nil {
			return 0, 0, err
		}
		var version C.int
		if code := C.fovea_call_version(get, &version); code != 0 {
			return 0, 0, c.err(name, code)
		}
		*to = int(version)
	}
	return driver, runtime, nil
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
