package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fovea/internal/cores"
)

// TestServeHasAProcessorToSpare: runs in C may hold as many processors as there are cores. GOMAXPROCS in the environment is
// kept.
func TestServeHasAProcessorToSpare(t *testing.T) {
	want := cores.Count()
	if os.Getenv("GOMAXPROCS") == "" {
		want++
	}
	p := start(t, t.TempDir())
	if line := fmt.Sprintf("\ngo_sched_gomaxprocs_threads %d\n", want); !strings.Contains(p.get("/metrics").body, line) {
		t.Errorf("the metrics lack %q", line)
	}
}
