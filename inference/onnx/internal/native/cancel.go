package native

/*
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

// Indices into OrtApi (onnxruntime_c_api.h), a table of functions to which later versions only append.
#define FOVEA_API_VERSION 22
#define FOVEA_RELEASE_STATUS 93
#define FOVEA_SESSION_OPTIONS_SET_LOAD_CANCELLATION_FLAG 293

typedef struct {
	void *const *(*GetApi)(uint32_t version);
} fovea_api_table;

static void fovea_cancel_load(void *lib, void *options) {
	const fovea_api_table *(*base)(void) = (const fovea_api_table *(*)(void))dlsym(lib, "OrtGetApiBase");
	void *const *api = base ? base()->GetApi(FOVEA_API_VERSION) : NULL;
	if (api == NULL)
		return;
	void *(*set)(void *, bool) = (void *(*)(void *, bool))api[FOVEA_SESSION_OPTIONS_SET_LOAD_CANCELLATION_FLAG];
	void *status = set(options, true);
	if (status != NULL)
		((void (*)(void *))api[FOVEA_RELEASE_STATUS])(status);
}
*/
import "C"

import "unsafe"

// CancelLoad cancels the creation of a session with these options, an *OrtSessionOptions. ONNX Runtime checks for that
// between graph optimization passes and between weights. onnxruntime_go has no call for it.
func (l *Library) CancelLoad(options unsafe.Pointer) { C.fovea_cancel_load(l.handle, options) }
