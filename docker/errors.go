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

// Every error of this package wraps one of these or is the caller's context's.
var (
	// ErrUnreachable: the engine does not listen, or the connection was cut.
	ErrUnreachable = errors.New("the Docker engine cannot be reached")
	// ErrTimeout: the engine did not answer in time. The operation may still happen.
	ErrTimeout = errors.New("the Docker engine did not respond in time")
	// ErrNoImage: the image is not on this machine.
	ErrNoImage = errors.New("no such image on this machine")
	// ErrNoNetwork: the container's network does not exist.
	ErrNoNetwork = errors.New("no such network")
	// ErrNotFound: no such container.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name is taken, or the container's state does not allow the operation.
	ErrConflict = errors.New("conflict")
	// ErrRefused: the engine rejects the request as invalid. Retrying does not help.
	ErrRefused = errors.New("refused by the Docker engine")
	// ErrDenied: the caller lacks permission, by the socket's mode or a proxy in front of it.
	ErrDenied = errors.New("not allowed")
	// ErrUnsupported: this engine does not support the operation.
	ErrUnsupported = errors.New("not supported by this Docker engine")
	// ErrUnsafe: the container would not be hardened as Fovea requires.
	ErrUnsafe = errors.New("unsafe")
	// ErrEngine: the engine tried and failed.
	ErrEngine = errors.New("the Docker engine failed")
)

// translate wraps an error of the engine's client with the sentinel it corresponds to. ctx is the caller's context, without the
// call's own timeout.
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
	_, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, os.ErrPermission), errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return ErrDenied
	case client.IsErrConnectionFailed(err), errdefs.IsUnavailable(err), isNet,
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

// refine adds a more specific sentinel to a translated error.
func refine(err, from, to error) error {
	if errors.Is(err, from) {
		return fmt.Errorf("%w: %w", to, err)
	}
	return err
}
