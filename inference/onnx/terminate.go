package onnx

import (
	"context"
	"errors"
	"fmt"

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
