package onnx

import (
	"sync"
	"testing"
)

func TestParallelRunsGiveTheSameOutputs(t *testing.T) {
	open(t)
	g := readGolden(t)
	s := load(t, "testdata/conv.onnx", Options{})
	b := batchOf(t, s, BatchSpec{Buckets: []int{1, 4}})
	for _, when := range []string{"before EnableParallel", "after EnableParallel"} {
		for _, rows := range b.sizes() {
			for row := range rows {
				put(b.Input(0, row), g.X[row])
			}
			if err := b.RunParallel(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			for row := range rows {
				if got := floats(b.Outputs(row)[0].Data); !near(got, g.Y[row]) {
					t.Errorf("%s: row %d of %d is %v, want %v", when, row, rows, got, g.Y[row])
				}
			}
		}
		if when == "before EnableParallel" {
			if err := s.EnableParallel(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestParallelSessionClosesWithItsSession(t *testing.T) {
	open(t)
	before := Live()
	s, err := NewSession("testdata/conv.onnx", Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		threads int
		live    int64
		fails   bool
	}{
		{"as many threads as the session has are nothing new", 2, 1, false},
		{"more threads are a second session", 3, 2, false},
		{"a third session is refused", 4, 2, true},
	} {
		if err := s.EnableParallel(t.Context(), c.threads); (err != nil) != c.fails {
			t.Errorf("%s: error %v", c.name, err)
		}
		if got := Live() - before; got != c.live {
			t.Errorf("%s: %d native things are live, want %d", c.name, got, c.live)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.EnableParallel(t.Context(), 3); err == nil {
		t.Error("a closed session got a parallel one")
	}
	if got := Live() - before; got != 0 {
		t.Errorf("%d native things are live after Close", got)
	}
}

func TestRunsContinueWhileAParallelSessionIsCreated(t *testing.T) {
	open(t)
	g := readGolden(t)
	s := load(t, "testdata/conv.onnx", Options{})
	var wg sync.WaitGroup
	enabled := make(chan struct{})
	for range 4 {
		b := batchOf(t, s, BatchSpec{Rows: 1})
		wg.Go(func() {
			put(b.Input(0, 0), g.X[0])
			for after := 0; after < 20; {
				select {
				case <-enabled:
					after++
				default:
				}
				if err := b.RunParallel(t.Context(), 1); err != nil {
					t.Error(err)
					return
				}
				if got := floats(b.Outputs(0)[0].Data); !near(got, g.Y[0]) {
					t.Errorf("the row is %v, want %v", got, g.Y[0])
				}
			}
		})
	}
	if err := s.EnableParallel(t.Context(), 2); err != nil {
		t.Error(err)
	}
	close(enabled)
	wg.Wait()
}
