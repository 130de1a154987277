package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestCallsTimeOutOnAHungEngine(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{"/": never}}.open(t)
	c.timeouts = quick
	ctx := context.Background()
	for name, try := range map[string]func() error{
		"Info":          func() error { _, err := c.Info(ctx); return err },
		"ImageInfo":     func() error { _, err := c.ImageInfo(ctx, "x"); return err },
		"Create":        func() error { _, err := c.Create(ctx, valid()); return err },
		"Start":         func() error { return c.Start(ctx, "x") },
		"Stop":          func() error { return c.Stop(ctx, "x", time.Millisecond) },
		"Kill":          func() error { return c.Kill(ctx, "x") },
		"Remove":        func() error { return c.Remove(ctx, "x") },
		"Inspect":       func() error { _, err := c.Inspect(ctx, "x"); return err },
		"List":          func() error { _, err := c.List(ctx, nil); return err },
		"Logs":          func() error { _, err := c.Logs(ctx, "x", 1); return err },
		"FollowLogs":    func() error { return c.FollowLogs(ctx, "x", 1, &lastLines{}) },
		"EnsureNetwork": func() error { return c.EnsureNetwork(ctx, "x", "test") },
		"RemoveNetwork": func() error { return c.RemoveNetwork(ctx, "x", "test") },
		"Events": func() error {
			_, failed := c.Events(ctx, nil)
			return <-failed
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := try(); !errors.Is(err, ErrTimeout) {
				t.Errorf("got %v, want ErrTimeout", err)
			}
		})
	}
}

func TestErrorsOfTheEngine(t *testing.T) {
	for _, test := range []struct {
		status int
		want   error
	}{
		{http.StatusBadRequest, ErrRefused}, {http.StatusUnauthorized, ErrDenied}, {http.StatusForbidden, ErrDenied},
		{http.StatusNotFound, ErrNotFound}, {http.StatusConflict, ErrConflict}, {http.StatusInternalServerError, ErrEngine},
		{http.StatusNotImplemented, ErrUnsupported}, {http.StatusServiceUnavailable, ErrUnreachable}, {http.StatusTeapot, ErrEngine},
	} {
		c := script{routes: map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) { fail(w, test.status, "so it is") }}}.open(t)
		if _, err := c.Inspect(context.Background(), "x"); !errors.Is(err, test.want) {
			t.Errorf("status %d: got %v, want %v", test.status, err, test.want)
		}
	}
}

func TestSocketPermissionIsErrDenied(t *testing.T) {
	err := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)} // cannot happen as root
	if got := translate(context.Background(), "ping", err); !errors.Is(got, ErrDenied) || errors.Is(got, ErrUnreachable) {
		t.Errorf("got %v", got)
	}
	if translate(context.Background(), "ping", nil) != nil {
		t.Error("nil is an error")
	}
}

func TestInvalidImageReferences(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) { reply(w, map[string]string{"Id": r.URL.Path}) }}}.open(t)
	for _, ref := range []string{"", "../containers/x", "x?manifests=1", "x y"} {
		if got, err := c.ImageInfo(context.Background(), ref); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: got %+v, %v", ref, got, err)
		}
	}
}

func TestTruncatedResponseIsUnreachable(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"Id":`))
	}}}.open(t)
	if _, err := c.Inspect(context.Background(), "x"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestIncompleteResponseIsAnError(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]string{}) }}}.open(t)
	if _, err := c.Inspect(context.Background(), "x"); !errors.Is(err, ErrEngine) {
		t.Errorf("got %v", err)
	}
}

// Retrying after a timeout succeeds if the operation was done.
func TestIdempotence(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{
		"POST /{v}/containers/x/kill": func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusConflict, "not running") },
		"POST /{v}/containers/x/stop": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"DELETE /{v}/containers/x":    func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, "no such container") },
	}}.open(t)
	ctx := context.Background()
	if err := errors.Join(c.Kill(ctx, "x"), c.Stop(ctx, "x", 0), c.Remove(ctx, "x")); err != nil {
		t.Error(err)
	}
}

func TestEachCallHasItsOwnTimeout(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{
		"POST /{v}/containers/stuck/stop": never,
		"POST /{v}/containers/other/stop": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	}}.open(t)
	c.timeouts.Stop = quick.Stop
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	stuck := make(chan error, 1)
	go func() { stuck <- c.Stop(ctx, "stuck", time.Second) }()
	if err := c.Stop(ctx, "other", time.Second); err != nil {
		t.Errorf("another container: %v", err)
	}
	if err := <-stuck; !errors.Is(err, ErrTimeout) || ctx.Err() != nil {
		t.Errorf("got %v, want ErrTimeout before the caller's own deadline", err)
	}
}
