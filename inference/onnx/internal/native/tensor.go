package native

/*
#include "api.h"

// ONNXTensorElementDataType's number of strings.
enum { fovea_string = 8 };

// fovea_new_tensor creates a tensor in memory of ONNX Runtime's own. data gets its address, NULL for strings.
static char *fovea_new_tensor(void *const *api, const int64_t *shape, size_t rank, int type, void **value, void **data) {
	void *allocator = NULL;
	void *status = ((void *(*)(void **))api[fovea_get_default_allocator])(&allocator);
	if (status == NULL)
		status = ((void *(*)(void *, const int64_t *, size_t, int, void **))api[fovea_create_tensor])(allocator, shape, rank, type, value);
	if (status == NULL && type != fovea_string)
		status = ((fovea_get_pointer_f)api[fovea_get_tensor_mutable_data])(*value, data);
	if (status != NULL && *value != NULL) {
		fovea_release_value_of(api, *value);
		*value = NULL;
	}
	return fovea_message(api, status);
}

// fovea_set_strings sets all elements of a tensor of strings. Each has four bytes of length in front.
static char *fovea_set_strings(void *const *api, void *value, const unsigned char *data, size_t count) {
	void *(*buffer)(void *, size_t, size_t, char **) = (void *(*)(void *, size_t, size_t, char **))api[fovea_get_string_buffer];
	for (size_t i = 0; i < count; i++) {
		const size_t n = (size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16 | (size_t)data[3] << 24;
		char *to = NULL;
		void *status = buffer(value, i, n, &to);
		if (status != NULL)
			return fovea_message(api, status);
		memcpy(to, data + 4, n);
		data += 4 + n;
	}
	return NULL;
}

static char *fovea_string_bytes(void *const *api, void *value, size_t *bytes) {
	return fovea_message(api, ((void *(*)(const void *, size_t *))api[fovea_get_string_bytes])(value, bytes));
}

static char *fovea_string_content(void *const *api, void *value, void *to, size_t bytes, size_t *offsets, size_t count) {
	return fovea_message(api,
	                     ((void *(*)(const void *, void *, size_t, size_t *, size_t))api[fovea_get_string_content])(value, to, bytes, offsets, count));
}
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// NewTensor creates a tensor of a type, which is a number of ONNXTensorElementDataType, with a copy of its elements, in memory
// of ONNX Runtime's own. Data has as many bytes as the shape takes; a string has its length in four bytes in front, the lowest
// first. Release frees it.
func (a API) NewTensor(elementType int, shape []int64, data []byte) (unsafe.Pointer, error) {
	var value, memory unsafe.Pointer
	dims := append([]int64{}, shape...)
	dims = append(dims, 0) // so that there is an address
	if err := text(C.fovea_new_tensor(a.table, (*C.int64_t)(&dims[0]), C.size_t(len(shape)), C.int(elementType), &value, &memory)); err != nil {
		return nil, err
	}
	values.Add(1)
	if len(data) == 0 {
		return value, nil
	}
	if elementType != C.fovea_string {
		copy(unsafe.Slice((*byte)(memory), len(data)), data)
		return value, nil
	}
	count := int64(1)
	for _, d := range shape {
		count *= d
	}
	if err := text(C.fovea_set_strings(a.table, value, (*C.uchar)(&data[0]), C.size_t(count))); err != nil {
		a.Release(value)
		return nil, err
	}
	return value, nil
}

// Strings returns the elements of a tensor of count strings, each with its length in four bytes in front, the lowest first.
func (a API) Strings(value unsafe.Pointer, count int) ([]byte, error) {
	if count == 0 {
		return nil, nil
	}
	var bytes C.size_t
	if err := text(C.fovea_string_bytes(a.table, value, &bytes)); err != nil {
		return nil, err
	}
	if uint64(bytes) > 1<<32-1 {
		return nil, errors.New("the strings have more than 4 GiB")
	}
	content, offsets := make([]byte, bytes+1), make([]C.size_t, count+1) // one more, so that there is an address
	if err := text(C.fovea_string_content(a.table, value, unsafe.Pointer(&content[0]), bytes, &offsets[0], C.size_t(count))); err != nil {
		return nil, err
	}
	offsets[count] = bytes
	out := make([]byte, 0, int(bytes)+4*count)
	for i := range count {
		element := content[offsets[i]:offsets[i+1]]
		out = binary.LittleEndian.AppendUint32(out, uint32(len(element)))
		out = append(out, element...)
	}
	return out, nil
}
