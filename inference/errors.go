package inference

import (
	"errors"
	"fmt"
	"slices"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
)

var (
	// errClosed is why loads, and finally runs, are stopped.
	errClosed = errors.New("the server is shutting down")
	// errUnlisted is why the load of a version is stopped that the repository no longer has.
	errUnlisted = errors.New("no longer in the repository")
	// ErrComputing is returned by Close when only failed loads are left, which cannot be stopped.
	ErrComputing = errors.New("a failed load is still computing")
)

// deviceLost is the API error of requests for a lost device.
func deviceLost(cause error) *apierror.Error {
	return apierror.Wrap(apierror.DeviceLost, cause, "the device has failed; the server must be restarted")
}

// modelFailed is the API error of a run in which a node of the model failed, as in some models when they find nothing. Other
// errors are returned as they are.
func modelFailed(err error) error {
	run, ok := errors.AsType[*onnx.RunError](err)
	if !ok || onnx.IsDeviceLost(err) {
		return err
	}
	return apierror.Wrap(apierror.Internal, err, "the model failed on this image, in its node %q (%s): %s", run.Node, run.Op, run.Reason)
}

// ModelNotFound is the API error of a request for a model that is not among the available ones.
func ModelNotFound(name string, available []string) *apierror.Error {
	return apierror.New(apierror.ModelNotFound, "model %s not found; available: %s", apierror.Quote(name), orNone(available))
}

// ModelRequired is the API error of a request that names none of several models, of which none is the default.
func ModelRequired(available []string) *apierror.Error {
	return apierror.New(apierror.ModelRequired, "there are several models; use /v1/models/{model}/predict with one of %s, or have the "+
		"server's inference.default set", orNone(available))
}

// LoadError is a model that could not be brought in line with the repository.
type LoadError struct {
	Model    string // empty: folders of the repository that are not models
	Version  int    // 0: no version could be tried
	Required bool
	Err      error
}

// Error names the model, the version and the cause.
func (l *LoadError) Error() string {
	switch {
	case l.Model == "":
		return l.Err.Error()
	case l.Version == 0:
		return fmt.Sprintf("model %s: %v", l.Model, l.Err)
	}
	return fmt.Sprintf("model %s version %d: %v", l.Model, l.Version, l.Err)
}

// Unwrap returns the cause.
func (l *LoadError) Unwrap() error { return l.Err }

// SyncError lists everything that Sync could not do.
type SyncError struct{ Failures []*LoadError }

// Error lists the failures, one per line.
func (s *SyncError) Error() string { return errors.Join(s.Unwrap()...).Error() }

// Unwrap returns the failures.
func (s *SyncError) Unwrap() []error {
	errs := make([]error, len(s.Failures))
	for i, f := range s.Failures {
		errs[i] = f
	}
	return errs
}

// Required are the failures of models that the server must not run without.
func (s *SyncError) Required() []*LoadError {
	return slices.DeleteFunc(slices.Clone(s.Failures), func(l *LoadError) bool { return !l.Required })
}
