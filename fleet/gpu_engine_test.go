//go:build engine

package fleet

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/gpu/simnvml"
)

// withGPUs is a fleet with one replica on each of a number of simulated GPUs.
func withGPUs(t *testing.T, gpus int) (*harness, *simnvml.File) {
	t.Helper()
	f := simnvml.New(t, simnvml.Machine(gpus))
	b := newHarness(t, fmt.Sprintf("gpus: all\ngpu: {library: %s, poll: 500ms, driver: nvidia}\nenv: {%s: auto}\n", simnvml.Library(t), deviceVariable))
	b.start(gpus)
	return b, f
}

func on(s Status, gpu int) (ReplicaStatus, GPUStatus) {
	for _, r := range s.Replicas {
		if r.GPU == simnvml.UUID(gpu) {
			for _, g := range s.GPUs {
				if g.UUID == r.GPU {
					return r, g
				}
			}
		}
	}
	return ReplicaStatus{}, GPUStatus{}
}

func TestGPUOffTheBusIsQuarantined(t *testing.T) {
	const gpus = 4
	b, f := withGPUs(t, gpus)
	l := b.load()
	faulty, _ := on(b.status(), 1)
	begun, event := l.begun.Load(), time.Now()
	f.Set("gpu1.lost", "1", "gpu1.event.1", "xid 79")
	s := b.until("not serving", func(s Status) bool { r, _ := on(s, 1); return r.State != Ready })
	may := l.begun.Load() - begun
	withdrawn, _ := on(s, 1)
	given := withdrawn.InFlight + b.count(faulty.Name)
	s = b.until("its replica is gone", func(s Status) bool { r, _ := on(s, 1); return r.State == Quarantined })
	full := time.Since(event)
	o := l.end()
	_, _, last := b.by(faulty.Name, event)
	o.figure(t, "XID 79 on one of four GPUs", 0, fmt.Sprintf("last request to it %.3f s after the event; its replica is gone after %.2f s",
		last.Sub(event).Seconds(), full.Seconds()))
	if after := b.count(faulty.Name); after > given {
		t.Errorf("%d requests were sent to it after it was taken out of service", after-given)
	}
	if figures() && last.Sub(event) > time.Second {
		t.Errorf("a request was sent to it %s after the event", last.Sub(event))
	}
	if int64(o.failed) > may {
		t.Errorf("%d requests failed; %d may have been given to it", o.failed, may)
	}
	if _, g := on(s, 1); s.Ready != gpus-1 || g.State != "quarantined" || g.Reason == "" {
		t.Errorf("%+v", s)
	}

	b.stop(syscall.SIGKILL)
	b.start(gpus - 1)
	if r, g := on(b.status(), 1); r.State != Quarantined || g.State != "quarantined" {
		t.Errorf("after a restart of the supervisor: %+v %+v", r, g)
	}

	start := time.Now()
	f.Delete("gpu1.lost")
	b.until("in use again", func(s Status) bool { return s.Ready == gpus })
	t.Logf("in use again %s after its recovery", time.Since(start).Round(time.Millisecond))
}

func TestPlannedDrainOfAGPULosesNoRequest(t *testing.T) {
	const gpus = 2
	b, _ := withGPUs(t, gpus)
	l := b.load()
	start := time.Now()
	if _, err := b.client.Drain(context.Background(), "0"); err != nil {
		t.Fatal(err)
	}
	s := b.until("nothing runs on it", func(s Status) bool { r, _ := on(s, 0); return r.State == Drained })
	full := time.Since(start)
	l.end().none(t).figure(t, "planned drain of one of two GPUs", 0, fmt.Sprintf("nothing runs on it after %.2f s", full.Seconds()))
	if s.Ready != 1 || len(b.containers()) != 1 {
		t.Errorf("%+v", s)
	}
	b.stop(syscall.SIGTERM)
	b.start(1) // The drain is saved.
	if _, err := b.client.Resume(context.Background(), "0"); err != nil {
		t.Fatal(err)
	}
	b.until("in use again", func(s Status) bool { return s.Ready == gpus })
	if _, err := b.client.Drain(context.Background(), "7"); err == nil || !strings.Contains(err.Error(), `"7"`) {
		t.Errorf("drain of an unknown GPU: %v", err)
	}
}

func TestReplicasGetTheirGPUAndNoOther(t *testing.T) {
	b, _ := withGPUs(t, 2)
	for placement, id := range b.containers() {
		status, err := b.engine.Inspect(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := simnvml.UUID(int(placement[3] - '0'))
		if status.Labels["fovea.gpu"] != want || len(status.Violations) > 0 {
			t.Errorf("%s: GPU %q instead of %q; violations %v", placement, status.Labels["fovea.gpu"], want, status.Violations)
		}
	}
}
