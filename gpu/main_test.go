package gpu

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fovea/gpu/simnvml"
)

func TestMain(m *testing.M) {
	if child := os.Getenv("FOVEA_GPU_TEST_CHILD"); child != "" {
		os.Exit(runChild(child))
	}
	goleak.VerifyTestMain(m)
}

// testTimeout bounds every wait of a test; none of them passes because of it.
const testTimeout = 30 * time.Second

// withTimeout sets the deadline of one call.
func withTimeout(d time.Duration) Option { return func(n *NVML) { n.timeout = d } }

// open opens the simulated NVML and closes it at the end of the test, whatever hangs.
func open(t *testing.T, f *simnvml.File, options ...Option) *NVML {
	t.Helper()
	n, err := Open(simnvml.Library(t), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Set("hang", "0")
		for i := range 2 {
			f.Delete("gpu" + string(rune('0'+i)) + ".hang")
		}
		eventually(t, "no call hangs any more", func() bool { return !n.hung() })
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func inventory(t *testing.T, n *NVML) Inventory {
	t.Helper()
	inventory, err := n.Inventory(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return inventory
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}
