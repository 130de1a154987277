package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// What can go wrong with the engine; every error of this package is one of them or the caller's context's own.
var (
	// ErrUnreachable: nothing answers where the engine should be, or the connection was cut.
	ErrUnreachable = errors.New("the Docker engine cannot be reached")
	// ErrTimeout: the engine took a call and did not answer in time. What was asked for may yet happen.
	ErrTimeout = errors.New("the Docker engine did not answer in time")
	// ErrNoImage: the image is not on this machine.
	ErrNoImage = errors.New("no such image on this machine")
	// ErrNoNetwork: the network that a container is to join is gone.
	ErrNoNetwork = errors.New("no such network")
	// ErrNotFound: no such container.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name is taken, or the container's state does not allow what was asked for.
	ErrConflict = errors.New("conflict")
	// ErrRefused: the engine finds the request wrong. Asking again does not help.
	ErrRefused = errors.New("refused by the Docker engine")
	// ErrDenied: who asks may not do that: the socket's permissions, or a proxy before it.
	ErrDenied = errors.New("not allowed")
	// ErrUnsupported: this engine cannot do what is asked for.
	ErrUnsupported = errors.New("not supported by this Docker engine")
	// ErrUnsafe: the container would be less closed than Fovea demands.
	ErrUnsafe = errors.New("unsafe")
	// ErrEngine: the engine tried and failed.
	ErrEngine = errors.New("the Docker engine failed")
)

// translate gives an error of the engine's client the sentinel that it amounts to. ctx is the caller's context,
// without the call's own time-out.
func translate(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return fmt.Errorf("%s: %w: %w", what, sentinel(err), err)
}

func sentinel(err error) error {
	var netError net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, os.ErrPermission), errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return ErrDenied
	case client.IsErrConnectionFailed(err), errdefs.IsUnavailable(err), errors.As(err, &netError),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrUnreachable
	case errdefs.IsNotFound(err):
		return ErrNotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return ErrConflict
	case errdefs.IsInvalidArgument(err):
		return ErrRefused
	case errdefs.IsNotImplemented(err):
		return ErrUnsupported
	}
	return ErrEngine
}

// as replaces the sentinel of a translated error by a more exact one.
func as(err, from, to error) error {
	if errors.Is(err, from) {
		return fmt.Errorf("%w: %w", to, err)
	}
	return err
}
