package onnx

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// terminateWith terminates runs with options when ctx ends, through ONNX Runtime's terminate flag. ONNX Runtime checks the
// flag between two nodes, including those in the body of a loop, never within a node; the session remains usable. The
// caller passes the error of its last run to done, which returns that error, or ctx's cause if the run was terminated,
// and resets the flag.
func terminateWith(ctx context.Context, options *ort.RunOptions) (done func(err error) error) {
	set := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { set <- options.Terminate() })
	return func(err error) error {
		if stop() {
			return err
		}
		failed := errors.Join(<-set, options.UnsetTerminate())
		if err == nil || IsDeviceLost(err) {
			return errors.Join(err, failed)
		}
		return errors.Join(fmt.Errorf("the run was terminated: %w (%v)", context.Cause(ctx), err), failed) //nolint:errorlint // ONNX Runtime's own error is not the cause
	}
}

// during calls run, which runs with the options, and terminates it when ctx ends. The error is that of run, or ctx's cause.
func (o runOptions) during(ctx context.Context, run func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := terminateWith(ctx, o.RunOptions)
	return done(run())
}

// cancelLoad cancels the creation of a session with options when ctx, which may be nil, ends. ONNX Runtime checks for that
// between graph optimization passes and between weights, not while it folds constants. The caller must call done before
// it frees options.
func cancelLoad(ctx context.Context, options *ort.SessionOptions) (done func()) {
	lib, _ := openLibrary()
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
