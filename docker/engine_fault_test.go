//go:build engine

package docker

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"fovea/docker/dockertest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// behind opens the engine through a proxy that can hang.
func behind(t *testing.T) (*Client, *dockertest.Proxy) {
	t.Helper()
	proxy, err := dockertest.NewProxy(t.TempDir(), dockertest.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	times := Timeouts{Call: 3 * time.Second, Stop: 500 * time.Millisecond, Watch: 100 * time.Millisecond}
	return open(t, proxy.Host, WithTimeouts(times)), proxy
}

func TestEngineThatHangs(t *testing.T) {
	direct := engine(t)
	c, proxy := behind(t)
	ctx := context.Background()
	p := start(t, direct, testSpec(t, direct, testImage(t)))
	events, failed := c.Events(ctx, map[string]string{LabelOwner: owner})
	if err := direct.Kill(ctx, p.id); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); e.Action != "die" || e.Labels["exitCode"] != "137" {
		t.Errorf("event %+v", e)
	}
	proxy.Hang()
	if err := ended(t, events, failed); !errors.Is(err, ErrTimeout) {
		t.Errorf("the events ended with %v", err)
	}
	if _, err := c.Inspect(ctx, p.id); !errors.Is(err, ErrTimeout) {
		t.Errorf("inspect: %v", err)
	}
	if err := c.Stop(ctx, p.id, time.Second); !errors.Is(err, ErrTimeout) {
		t.Errorf("stop: %v", err)
	}
	proxy.Resume()
	if _, err := c.Inspect(ctx, p.id); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	again, stop := context.WithCancel(ctx)
	events, failed = c.Events(again, map[string]string{LabelOwner: owner})
	if err := direct.Remove(ctx, p.id); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); e.Action != "destroy" {
		t.Errorf("event %+v", e)
	}
	stop()
	if err := ended(t, events, failed); !errors.Is(err, context.Canceled) {
		t.Errorf("the events ended with %v", err)
	}
}

func TestEngineThatRestarts(t *testing.T) {
	c, proxy := behind(t)
	events, failed := c.Events(context.Background(), map[string]string{LabelOwner: owner})
	proxy.Cut() // like a restart of the engine
	if err := ended(t, events, failed); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the events ended with %v", err)
	}
	if err := c.Ping(context.Background()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
