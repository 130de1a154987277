package native

/*
#include "api.h"
#include "place.h"

typedef void *(*fovea_run_f)(void *, const void *, const char *const *, const void *const *, size_t, const char *const *, size_t, void **);
typedef void *(*fovea_get_size_f)(void *, size_t *);
typedef void *(*fovea_get_numbers_f)(void *, int64_t *, size_t);

static char *fovea_run(void *const *api, void *session, const void *options, const char *const *in_names, const void *const *in,
                       size_t ins, const char *const *out_names, size_t outs, void **out, bool hold) {
	const fovea_place place = fovea_place_enter(hold);
	void *status = ((fovea_run_f)api[fovea_run_session])(session, options, in_names, in, ins, out_names, outs, out);
	fovea_place_leave(&place);
	return fovea_message(api, status);
}

// fovea_tensor finds the data (unless data is NULL) and the dimensions of a tensor, of which there may be at most *rank.
static char *fovea_tensor(void *const *api, void *value, void **data, int64_t *dims, size_t *rank) {
	void *info = NULL;
	size_t n = 0;
	void *status = ((fovea_get_pointer_f)api[fovea_get_tensor_type_and_shape])(value, &info);
	if (status == NULL)
		status = ((fovea_get_size_f)api[fovea_get_dimensions_count])(info, &n);
	if (status == NULL && n <= *rank)
		status = ((fovea_get_numbers_f)api[fovea_get_dimensions])(info, dims, n);
	if (status == NULL && n <= *rank && data != NULL)
		status = ((fovea_get_pointer_f)api[fovea_get_tensor_mutable_data])(value, data);
	if (info != NULL)
		((fovea_release_f)api[fovea_release_tensor_type_and_shape_info])(info);
	*rank = n;
	return fovea_message(api, status);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// maxRank is the most dimensions of a tensor.
const maxRank = 16

var values atomic.Int64

// Values returns the number of tensors that Run and NewTensor allocated and that have not been released.
func Values() int64 { return values.Load() }

// API is ONNX Runtime's table of functions.
type API struct{ table *unsafe.Pointer }

// API returns ONNX Runtime's table of functions.
func (l *Library) API() (API, error) {
	table := l.api()
	if table == nil {
		return API{}, fmt.Errorf("%s does not offer the C API", l.path)
	}
	return API{table}, nil
}

// Names are the names of inputs and outputs as C strings, for Run.
type Names struct{ in, out []*C.char }

// NewNames copies the names. Free frees the copies.
func NewNames(inputs, outputs []string) *Names {
	n := &Names{}
	for _, name := range inputs {
		n.in = append(n.in, C.CString(name))
	}
	for _, name := range outputs {
		n.out = append(n.out, C.CString(name))
	}
	return n
}

// Free frees the names. Calling it again does nothing.
func (n *Names) Free() {
	for _, name := range append(n.in, n.out...) {
		C.free(unsafe.Pointer(name))
	}
	n.in, n.out = nil, nil
}

// Run runs an *OrtSession with *OrtRunOptions on as many *OrtValue as there are names. An output that is nil is allocated by ONNX
// Runtime; the caller releases it. After an error, such outputs are nil. A run that computes on this thread alone should hold a
// core: no other that does shares it.
func (a API) Run(session, options unsafe.Pointer, names *Names, inputs, outputs []unsafe.Pointer, holdCore bool) error {
	if len(inputs) != len(names.in) || len(outputs) != len(names.out) || len(inputs) == 0 || len(outputs) == 0 {
		return fmt.Errorf("%d inputs and %d outputs for a model of %d and %d", len(inputs), len(outputs), len(names.in), len(names.out))
	}
	empty := make([]bool, len(outputs))
	for i, output := range outputs {
		empty[i] = output == nil
	}
	message := C.fovea_run(a.table, session, options, &names.in[0], &inputs[0], C.size_t(len(inputs)),
		&names.out[0], C.size_t(len(outputs)), &outputs[0], C.bool(holdCore))
	for i := range outputs {
		if empty[i] && outputs[i] != nil {
			values.Add(1)
			if message != nil {
				a.Release(outputs[i])
			}
		}
		if empty[i] && message != nil {
			outputs[i] = nil
		}
	}
	return text(message)
}

// Tensor returns the shape and the data of an *OrtValue, which must be a tensor in the machine's own memory.
func (a API) Tensor(value unsafe.Pointer) (shape []int64, data unsafe.Pointer, err error) {
	shape, err = a.tensor(value, &data)
	return shape, data, err
}

// Shape returns the shape of an *OrtValue, which must be a tensor.
func (a API) Shape(value unsafe.Pointer) ([]int64, error) { return a.tensor(value, nil) }

func (a API) tensor(value unsafe.Pointer, data *unsafe.Pointer) ([]int64, error) {
	var dims [maxRank]C.int64_t
	rank := C.size_t(maxRank)
	if err := text(C.fovea_tensor(a.table, value, data, &dims[0], &rank)); err != nil {
		return nil, err
	}
	if rank > maxRank {
		return nil, fmt.Errorf("the tensor has %d dimensions; the limit is %d", rank, maxRank)
	}
	shape := make([]int64, rank)
	for i := range shape {
		shape[i] = int64(dims[i])
	}
	return shape, nil
}

// Release releases a tensor that Run or NewTensor allocated.
func (a API) Release(value unsafe.Pointer) {
	C.fovea_release_value_of(a.table, value)
	values.Add(-1)
}

// text returns a message as an error and frees it.
func text(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}
