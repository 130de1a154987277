package gpu

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/gpu/simnvml"
)

func TestHungCall(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, withTimeout(2*time.Second))
	inventory(t, n)
	f.Set("gpu0.hang", "600")

	ctx := context.Background()
	if err := n.Ping(ctx, simnvml.UUID(0)); !errors.Is(err, ErrUnresponsive) {
		t.Fatalf("GPU 0 hangs: error %v, want %v", err, ErrUnresponsive)
	} else if !strings.Contains(err.Error(), "GPU 0") {
		t.Errorf("error %q does not name the GPU", err)
	}
	before := runtime.NumGoroutine()
	for range 100 { // With a deadline each these would take minutes, and pile up a hundred calls.
		if err := n.Ping(ctx, simnvml.UUID(0)); !errors.Is(err, ErrUnresponsive) {
			t.Fatalf("while a call hangs: %v", err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before 100 calls to a GPU that hangs, %d after", before, after)
	}
	if err := n.Ping(ctx, simnvml.UUID(1)); err != nil {
		t.Errorf("GPU 1 does not answer while GPU 0 hangs: %v", err)
	}
	d := inventory(t, n).Devices
	if !errors.Is(d[0].Err, ErrUnresponsive) || d[0].UUID != simnvml.UUID(0) || d[0].Temperature != nil {
		t.Errorf("the GPU that hangs: %+v", d[0])
	}
	if d[1].Err != nil || d[1].Temperature == nil {
		t.Errorf("the other GPU: %+v", d[1])
	}
	f.Delete("gpu0.hang")
	eventually(t, "GPU 0 answers again", func() bool { return n.Ping(ctx, simnvml.UUID(0)) == nil })
}

func TestCloseWhileACallHangs(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n, err := Open(simnvml.Library(t), withTimeout(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "GPU 0 is known", func() bool { return n.Ping(context.Background(), simnvml.UUID(0)) == nil })
	f.Set("gpu0.hang", "600")
	if err := n.Ping(context.Background(), simnvml.UUID(0)); !errors.Is(err, ErrUnresponsive) {
		t.Fatal(err)
	}
	if err := n.Close(); !errors.Is(err, ErrUnresponsive) {
		t.Errorf("close: %v, want %v", err, ErrUnresponsive)
	}
	f.Delete("gpu0.hang")
	eventually(t, "the call returned", func() bool { return !n.hung() })
	if err := check(n.api.Shutdown()); err != nil {
		t.Error(err)
	}
}

func TestCallHonorsItsContext(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f)
	inventory(t, n)
	f.Set("gpu0.hang", "600")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := n.Ping(ctx, simnvml.UUID(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if err := n.Ping(ctx, simnvml.UUID(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("begun after the end: error %v, want %v", err, context.Canceled)
	}
}

func TestExecutorRunsOneCallAtATime(t *testing.T) {
	l := newExecutor("executor")
	running, most := 0, 0
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			_, err := call(context.Background(), l, testTimeout, func() (int, error) {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				running--
				mu.Unlock()
				return 0, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if most != 1 {
		t.Errorf("%d calls ran at once", most)
	}
}
