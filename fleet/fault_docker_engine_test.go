//go:build engine

package fleet

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/docker/dockertest"
)

// proxied is a fleet whose supervisor reaches the engine through a proxy.
func proxied(t *testing.T, engine, particular string) (*harness, *dockertest.Proxy) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	p, err := dockertest.NewProxy(dir, dockertest.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Close()
		_ = os.RemoveAll(dir)
	})
	b := newHarness(t, fmt.Sprintf("%s\nengine: {host: %q, %s}\n", particular, p.Host, engine))
	b.start(2)
	return b, p
}

func TestHungEngineStopsNoRequest(t *testing.T) {
	t.Parallel()
	b, p := proxied(t, "timeout: 2s, resync: 1s", two)
	l := b.load()
	p.Hang()
	b.until("status shows it", func(s Status) bool { return len(s.Problems) > 0 && s.Ready == 2 })
	// A replica that dies now is taken out of service by its probes, and replaced once the engine responds.
	begun := l.begun.Load()
	b.kill("cpu-0")
	b.until("its replica is out of service", func(s Status) bool { return s.Replicas[0].State != Ready })
	may := l.begun.Load() - begun
	start := time.Now()
	p.Resume()
	b.until("all are ready again", func(s Status) bool { return s.Ready == 2 && len(s.Problems) == 0 })
	full := time.Since(start)
	o := l.end()
	o.figure(t, "engine hangs while a replica dies", full, "since the engine responded again")
	if lost := b.losses("cpu-0.1"); lost != o.failed || int64(lost) > may {
		t.Errorf("%d requests failed, %d with the replica; %d may have been given to it", o.failed, lost, may)
	}
}

func TestEventStreamReconnects(t *testing.T) {
	t.Parallel()
	b, p := proxied(t, "resync: 10m", two)
	l := b.load()
	start := time.Now()
	begun := l.begun.Load()
	p.Cut()
	b.kill("cpu-1") // while events are lost
	b.until("not serving", func(s Status) bool { return s.Replicas[1].State != Ready })
	may := l.begun.Load() - begun
	b.until("replaced", func(s Status) bool { return s.Ready == 2 && s.Replicas[1].Restarts == 1 })
	full := time.Since(start)
	o := l.end()
	o.figure(t, "events lost while a replica dies", full, "")
	if lost := b.losses("cpu-1.1"); lost != o.failed || int64(lost) > may {
		t.Errorf("%d requests failed, %d with the replica; %d may have been given to it", o.failed, lost, may)
	}
}

func TestHungStopBlocksNothing(t *testing.T) {
	t.Parallel()
	b, p := proxied(t, "timeout: 2s", "replicas: 2\nstop_timeout: 1s\nrollout: {monitor: 1s, order: start-first}\n")
	before := b.containers()
	p.Hold("/stop")
	l := b.load()
	start := time.Now()
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the rollout is complete", func(s Status) bool { return s.Rollout == nil })
	full := time.Since(start)
	stuck := 0
	for _, r := range s.Replicas {
		if r.State == Stuck {
			stuck++
		}
	}
	if s.Generation != 2 || s.Ready != 2 || stuck != 2 {
		t.Errorf("%+v", s)
	}
	l.end().none(t).figure(t, "stops that never return, during a rollout", full, "the old replicas are shown as stuck")
	p.Hold("")
	b.until("the stuck replicas are gone", func(s Status) bool { return len(s.Replicas) == 2 && s.Ready == 2 })
	for placement, id := range b.containers() {
		if id == before[placement] {
			t.Errorf("%s still has its old container", placement)
		}
	}
}

func TestEngineRestart(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("starting an engine needs root")
	}
	t.Parallel()
	for name, flags := range map[string][]string{"engine restarted": nil, "engine restarted with live-restore": {"--live-restore"}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			dir, err := os.MkdirTemp("", "engine")
			if err != nil {
				t.Fatal(err)
			}
			engine, err := dockertest.StartDaemon(ctx, dir, flags...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := engine.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := engine.Copy(ctx, testImage()); err != nil {
				t.Fatal(err)
			}
			b := newHarnessOn(t, engine.Host, testImage(), two+fmt.Sprintf("engine: {host: %q, timeout: 5s, resync: 1s}\n", engine.Host))
			b.start(2)
			restartEngine(t, b, engine, len(flags) > 0)
		})
	}
}

// restartEngine restarts the engine under load. With live-restore, containers keep running.
func restartEngine(t *testing.T, b *harness, engine *dockertest.Daemon, live bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before := b.containers()
	l := b.load()
	start := time.Now()
	if err := engine.Stop(ctx, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	b.until("status shows it", func(s Status) bool { return len(s.Problems) > 0 && (s.Ready == 0) != live })
	if err := engine.Start(ctx); err != nil {
		t.Fatal(err)
	}
	up := time.Now()
	b.until("all are ready", func(s Status) bool { return s.Ready == 2 && len(s.Problems) == 0 })
	full := time.Now()
	o := l.end()
	if live {
		o.none(t)
	}
	o.only(t, start, full).figure(t, strings.ReplaceAll(filepath.Base(t.Name()), "_", " "), full.Sub(up), fmt.Sprintf("since its start; it was down for %.2f s", up.Sub(down).Seconds()))
	if after := b.containers(); live && !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
}
