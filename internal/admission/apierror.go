package admission

import (
	"errors"
	"os"
	"time"

	"fovea/internal/apierror"
)

// APIError turns an error of Admit, Grow or a read into an API error, and returns others unchanged. what is a word for what was to
// arrive within a time, of which read bytes did.
func APIError(err error, what string, read int64, within time.Duration) error {
	var full *FullError
	var slow *SlowError
	switch {
	case errors.Is(err, ErrClosed):
		return apierror.New(apierror.Draining, "the server is shutting down; send the request to another server or again later")
	case errors.Is(err, ErrDisplaced):
		return apierror.New(apierror.BodyDisplaced, "the server is busy, and this %s was displaced as the slowest to arrive, with %d bytes received", what, read)
	case errors.As(err, &full):
		return apierror.New(apierror.QueueFull, "the server is busy: %v", full)
	case errors.As(err, &slow):
		return apierror.Wrap(apierror.BodyTimeout, err, "the %s arrived at less than %d bytes a second, with %d bytes received", what, slow.Rate, read)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierror.Wrap(apierror.BodyTimeout, err, "the %s did not arrive within %s, with %d bytes received", what, within, read)
	}
	return err
}
