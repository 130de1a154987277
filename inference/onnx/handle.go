package onnx

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
)

// The binding makes sessions, options and tensors. It cannot return outputs of float16 that ONNX Runtime allocates, and copies
// those of other types to Go's heap, so runs pass the pointers that it keeps to ONNX Runtime's C API (package native).

// runtimeSession is a session of the binding and its *OrtSession.
type runtimeSession struct {
	*ort.DynamicAdvancedSession
	handle     unsafe.Pointer
	sequential bool // its runs compute on the caller's thread alone
}

// newRuntimeSession creates a session, whose inputs have those fixed shapes, if any.
func (s *Session) newRuntimeSession(options *ort.SessionOptions, shapes map[string][]int64) (*runtimeSession, error) {
	var session *ort.DynamicAdvancedSession
	var err error
	if changes := (repository.InputChanges{Pixels: s.pixels, Shapes: shapes}); len(s.added) > 0 || changes.Any() {
		session, err = newRewrittenSession(s.path, changes, s.added, s.fed, s.fetched, options)
	} else {
		session, err = ort.NewDynamicAdvancedSession(s.path, s.fed, s.fetched, options)
	}
	if err != nil {
		return nil, err
	}
	handle, err := handleOf(session, "s", "ortSession")
	if err != nil {
		_ = session.Destroy() // always nil
		return nil, err
	}
	return &runtimeSession{DynamicAdvancedSession: session, handle: handle}, nil
}

// runOptions are the options of the runs of a batch or a feed, which are sequential, and their *OrtRunOptions.
type runOptions struct {
	*ort.RunOptions
	handle unsafe.Pointer
}

// newRunOptions creates options.
func newRunOptions() (runOptions, error) {
	options, err := ort.NewRunOptions()
	if err != nil {
		return runOptions{}, err
	}
	liveObjects.Add(1)
	o := runOptions{RunOptions: options}
	if o.handle, err = handleOf(options, "o"); err != nil {
		return runOptions{}, errors.Join(err, o.destroy())
	}
	return o, nil
}

// destroy frees the options, if there are any.
func (o runOptions) destroy() error {
	if o.RunOptions == nil {
		return nil
	}
	liveObjects.Add(-1)
	return o.Destroy()
}

// handleOf returns the C pointer in an unexported field of one of the binding's types.
func handleOf(of any, path ...string) (unsafe.Pointer, error) {
	v := reflect.ValueOf(of)
	for _, name := range path {
		if v = reflect.Indirect(v); v.Kind() == reflect.Struct {
			v = v.FieldByName(name)
		}
	}
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("the ONNX Runtime binding's %T has no %v", of, path)
	}
	return v.UnsafePointer(), nil
}
