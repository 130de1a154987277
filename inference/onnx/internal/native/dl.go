// Package native makes the C calls that onnxruntime_go does not offer: loading shared libraries by name, reading ONNX
// Runtime's version, canceling the creation of a session, runs whose outputs ONNX Runtime allocates, memory outside Go's heap,
// and pinned memory through the CUDA runtime. It builds without CUDA headers and libraries.
package native

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// The first fields of OrtApiBase (onnxruntime_c_api.h), the one struct of ONNX Runtime that never changes. OrtApi is a
// table of functions; later versions only append to it.
typedef struct {
	void *const *(*GetApi)(uint32_t version);
	const char *(*GetVersionString)(void);
} fovea_api_base;

static const fovea_api_base *fovea_base(void *lib) {
	const fovea_api_base *(*base)(void) = (const fovea_api_base *(*)(void))dlsym(lib, "OrtGetApiBase");
	return base ? base() : NULL;
}

static const char *fovea_ort_version(void *lib) {
	const fovea_api_base *base = fovea_base(lib);
	return base ? base->GetVersionString() : NULL;
}

// Indices into OrtApi.
#define FOVEA_API_VERSION 22
#define FOVEA_RELEASE_STATUS 93
#define FOVEA_SESSION_OPTIONS_SET_LOAD_CANCELLATION_FLAG 293

static int fovea_infer_version(void *f) { return ((int (*)(void))f)(); }

static void *const *fovea_api(void *lib) {
	const fovea_api_base *base = fovea_base(lib);
	return base ? base->GetApi(FOVEA_API_VERSION) : NULL;
}

static void fovea_cancel_load(void *lib, void *options) {
	void *const *api = fovea_api(lib);
	if (api == NULL)
		return;
	void *(*set)(void *, bool) = (void *(*)(void *, bool))api[FOVEA_SESSION_OPTIONS_SET_LOAD_CANCELLATION_FLAG];
	void *status = set(options, true);
	if (status != NULL)
		((void (*)(void *))api[FOVEA_RELEASE_STATUS])(status);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// Library is a loaded shared library. It is never unloaded: ONNX Runtime and CUDA have threads and exit handlers that
// point into their code.
type Library struct {
	path   string
	handle unsafe.Pointer
}

// Load opens the shared library at path; a path without a slash is searched for as the dynamic linker does. The error is
// the linker's message, which names the missing file.
func Load(path string) (*Library, error) {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	runtime.LockOSThread() // dlerror reports the calling thread's last failure
	defer runtime.UnlockOSThread()
	handle := C.dlopen(cpath, C.RTLD_LAZY|C.RTLD_LOCAL)
	if handle == nil {
		return nil, errors.New(C.GoString(C.dlerror()))
	}
	return &Library{path: path, handle: handle}, nil
}

// RuntimeVersion returns the version of ONNX Runtime, such as "1.30.0".
func (l *Library) RuntimeVersion() (string, error) {
	version := C.fovea_ort_version(l.handle)
	if version == nil {
		return "", fmt.Errorf("%s is not an ONNX Runtime library: it has no OrtGetApiBase", l.path)
	}
	return C.GoString(version), nil
}

func (l *Library) api() *unsafe.Pointer { return C.fovea_api(l.handle) }

// CancelLoad cancels the creation of a session with these options, an *OrtSessionOptions. ONNX Runtime checks for that
// between graph optimization passes and between weights.
func (l *Library) CancelLoad(options unsafe.Pointer) { C.fovea_cancel_load(l.handle, options) }

// InferVersion returns the version of a loaded libnvinfer, TensorRT, such as 101303 for 10.13.3 (NvInferRuntimeBase.h).
func (l *Library) InferVersion() (int, error) {
	f, err := l.symbol("getInferLibVersion")
	if err != nil {
		return 0, err
	}
	return int(C.fovea_infer_version(f)), nil
}

func (l *Library) symbol(name string) (unsafe.Pointer, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	p := C.dlsym(l.handle, cname)
	if p == nil {
		return nil, fmt.Errorf("%s has no %s", l.path, name)
	}
	return p, nil
}
