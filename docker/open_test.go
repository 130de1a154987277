package docker

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionNegotiation(t *testing.T) {
	for _, test := range []struct {
		name   string
		engine script
		want   string // the version
		err    error
	}{
		{"Debian 12's engine speaks the oldest", script{apiVersion: "1.41"}, "1.41", nil},
		{"an older engine: its version", script{apiVersion: "1.45"}, "1.45", nil},
		{"a newer engine: this package's newest", script{apiVersion: "1.99"}, maxAPIVersion, nil},
		{"versions are compared as numbers", script{apiVersion: "1.9"}, "", ErrUnsupported},
		{"too old", script{apiVersion: "1.40"}, "", ErrUnsupported},
		{"no version", script{}, "", ErrUnsupported},
		{"too new: it dropped this package's newest", script{apiVersion: "1.99", refuse: true}, "", ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Open(context.Background(), test.engine.serve(t))
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if err != nil {
				t.Log(err)
				return
			}
			defer c.Close()
			if c.APIVersion() != test.want {
				t.Errorf("API version %s, want %s", c.APIVersion(), test.want)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		name, host string
		want       error
	}{
		{"nothing listens", "unix://" + dir + "/absent", ErrUnreachable},
		{"accepts and never responds", "unix://" + dir + "/silent", ErrTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(context.Background(), test.host, WithTimeouts(quick))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %v, naming the socket", err, test.want)
			}
		})
	}
	for _, host := range []string{"/var/run/docker.sock", "nonsense"} {
		if _, err := Open(context.Background(), host); err == nil {
			t.Errorf("%q was taken for a host", host)
		}
	}
}

func TestCancellationIsNotATimeout(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Open(ctx, script{apiVersion: "1.45"}.serve(t))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
}
