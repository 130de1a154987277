//go:build engine

package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fovea/docker/dockertest"
	"fovea/gpu/simnvml"
)

// replicaImage builds the image of a server that can report a lost GPU without having one.
func replicaImage(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("fovea-fleet-test-replica:%d", os.Getpid())
	if err := dockertest.ProgramImage(t.Context(), "", name, "fovea/fleet/internal/fakegpuserver"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dockertest.RemoveImage(context.Background(), "", name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestContainersThatLoseTheirGPUsAreReplaced(t *testing.T) {
	const gpus = 3
	image := replicaImage(t)
	for name, c := range map[string]struct {
		files []string
		most  int // limit of failed requests
	}{
		"ready":   {[]string{"lost"}, 0},
		"unready": {[]string{"unready", "lost"}, 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			f := simnvml.New(t, simnvml.Machine(gpus))
			models := t.TempDir()
			for _, dir := range []string{filepath.Dir(models), models} {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			b := newHarnessOn(t, "", image, fmt.Sprintf("gpus: all\nmodels: %s\ngpu: {library: %s, poll: 500ms, driver: nvidia}\n", models, simnvml.Library(t)))
			b.start(gpus)
			l := b.load()
			before := b.containers()
			start := time.Now()
			for _, file := range c.files {
				if err := os.WriteFile(filepath.Join(models, file), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			s := b.until("all are replaced", func(s Status) bool {
				for placement, id := range b.containers() {
					if before[placement] == id {
						return false
					}
				}
				return s.Ready == gpus
			})
			full := time.Since(start)
			o := l.end()
			o.figure(t, "containers lose their GPUs, still "+name, full, "until all are replaced")
			if o.failed > c.most {
				t.Errorf("%d requests failed; at most %d may", o.failed, c.most)
			}
			for i, r := range s.Replicas {
				if _, g := on(s, i); r.Restarts != 1 || g.State != "ok" {
					t.Errorf("%+v %+v", r, g)
				}
			}

			f.Set("gpu1.lost", "1") // A faulty GPU is not the container's failure.
			b.until("the GPU is quarantined", func(s Status) bool { _, g := on(s, 1); return g.State == "quarantined" })
			b.stop(syscall.SIGTERM)
		})
	}
}
