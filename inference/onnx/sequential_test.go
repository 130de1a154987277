package onnx

import "testing"

// TestOnlyRunsOnOneThreadHoldACore: a run that waits for other threads must not keep one of them from its core.
func TestOnlyRunsOnOneThreadHoldACore(t *testing.T) {
	open(t)
	for threads, want := range map[int]bool{0: true, 1: true, 2: false} {
		s := load(t, "testdata/conv.onnx", Options{Threads: threads})
		if got := s.session.sequential; got != want {
			t.Errorf("with %d threads: it holds a core: %t, want %t", threads, got, want)
		}
	}
	s := load(t, "testdata/conv.onnx", Options{Threads: 1})
	if err := s.EnableParallel(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if s.parallel.Load().sequential {
		t.Error("a run of the parallel session holds a core")
	}
}
