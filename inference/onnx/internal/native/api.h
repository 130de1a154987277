// ONNX Runtime's C API by index, for the files of this package.
#ifndef FOVEA_API_H
#define FOVEA_API_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Indices into OrtApi, with the functions' signatures in onnxruntime_c_api.h. A status is NULL without an error.
enum {
	fovea_get_error_message = 2,
	fovea_create_env = 3,
	fovea_run_session = 9,
	fovea_create_tensor = 48,
	fovea_get_tensor_mutable_data = 51,
	fovea_get_string_bytes = 53,
	fovea_get_string_content = 54,
	fovea_get_dimensions_count = 61,
	fovea_get_dimensions = 62,
	fovea_get_tensor_type_and_shape = 65,
	fovea_create_cpu_memory_info = 69,
	fovea_get_default_allocator = 78,
	fovea_release_env = 92,
	fovea_release_status = 93,
	fovea_release_value = 96,
	fovea_release_tensor_type_and_shape_info = 99,
	fovea_register_allocator = 176,
	fovea_get_string_buffer = 252,
};

typedef void *(*fovea_get_pointer_f)(void *, void **);
typedef void (*fovea_release_f)(void *);

// fovea_message returns a copy of a status's message, which the caller frees, and releases the status; NULL without an error.
static inline char *fovea_message(void *const *api, void *status) {
	if (status == NULL)
		return NULL;
	char *copy = strdup(((const char *(*)(const void *))api[fovea_get_error_message])(status));
	((fovea_release_f)api[fovea_release_status])(status);
	return copy;
}

static inline void fovea_release_value_of(void *const *api, void *value) { ((fovea_release_f)api[fovea_release_value])(value); }

#endif
