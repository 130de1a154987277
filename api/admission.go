package api

import (
	"errors"
	"os"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// limits are those of all requests for predictions together.
func (c Config) limits() admission.Limits {
	return admission.Limits{Requests: c.MaxRequests, Bytes: int64(c.BodyBudget), Share: c.ClientShare, Rate: int64(c.MinBodyRate)}
}

// admissionFault says why a request is not let in, or gives its slot up; what is about something else is returned as it is.
func (s *Server) admissionFault(err error, read int64) error {
	var full *admission.FullError
	var slow *admission.SlowError
	switch {
	case errors.Is(err, admission.ErrClosed):
		return apierror.New(apierror.Draining, "the server is shutting down; ask another or try again soon")
	case errors.Is(err, admission.ErrDisplaced):
		return apierror.New(displaced, "the server is busy, and this body was the slowest to arrive; %d bytes did", read)
	case errors.As(err, &full):
		return apierror.New(apierror.QueueFull, "the server is busy with %d %s, as many as it takes at once", full.Limit, full.What)
	case errors.As(err, &slow):
		return apierror.Wrap(bodyTimeout, err, "the body arrived at less than %d bytes a second; %d bytes did", slow.Rate, read)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierror.Wrap(bodyTimeout, err, "the body did not arrive within %s; %d bytes did", s.cfg.BodyTimeout, read)
	}
	return err
}
