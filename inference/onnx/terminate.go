package onnx

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// terminateWith has the end of ctx end the runs that are made with options, through ONNX Runtime's terminate flag. It is
// looked at between two nodes, those in the body of a loop among them, and the session can be used again afterwards. A
// single node is never interrupted. The caller calls done with the error of its last run; done returns what it means, and
// leaves options as they were.
func terminateWith(ctx context.Context, options *ort.RunOptions) (done func(err error) error) {
	set := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { set <- options.Terminate() })
	return func(err error) error {
		if stop() {
			return err
		}
		failed := errors.Join(<-set, options.UnsetTerminate())
		if err == nil || Sticky(err) {
			return errors.Join(err, failed)
		}
		return errors.Join(fmt.Errorf("the run was terminated: %w (%v)", context.Cause(ctx), err), failed) //nolint:errorlint // what ONNX Runtime says then is no cause
	}
}

// cancelLoad has the end of ctx, which may be nil, end the making of a session with options. ONNX Runtime looks at that
// between two passes over the graph and between two weights, and not while it folds constants. The caller calls done before
// it frees options.
func cancelLoad(ctx context.Context, options *ort.SessionOptions) (done func()) {
	lib := openLibrary()
	if ctx == nil || lib == nil {
		return func() {}
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		lib.CancelLoad(*(*unsafe.Pointer)(unsafe.Pointer(options))) // its one field is the *OrtSessionOptions
	})
	return func() {
		if !stop() {
			<-over
		}
	}
}
