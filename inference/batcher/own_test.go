package batcher

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"fovea/postprocess"
)

// ownRunner is a run of a request's own.
type ownRunner struct {
	run    func(ctx context.Context) error
	closed atomic.Int64
}

func (*ownRunner) Input(int, int) []byte                          { return nil }
func (*ownRunner) Reshape(int, []int64) error                     { return nil }
func (r *ownRunner) Run(ctx context.Context, _ int) error         { return r.run(ctx) }
func (r *ownRunner) RunRow(ctx context.Context, _ int) error      { return r.run(ctx) }
func (*ownRunner) HasParallel() bool                              { return false }
func (r *ownRunner) RunParallel(ctx context.Context, _ int) error { return r.run(ctx) }
func (r *ownRunner) Outputs(int) []postprocess.Tensor             { return []postprocess.Tensor{{Name: "own"}} }
func (r *ownRunner) Close() error                                 { r.closed.Add(1); return nil }

func ownBatcher(t *testing.T, cfg GroupConfig, newRunner func() (Runner, error)) *Batcher {
	t.Helper()
	b := New(context.Background(), func(Run) {})
	if _, err := b.Add(cfg, newRunner); err != nil {
		t.Fatal(err)
	}
	b.Open()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func enterOwn(t *testing.T, b *Batcher) *Handle {
	t.Helper()
	h, err := b.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRunsOfRequestsOwn(t *testing.T) {
	b := ownBatcher(t, GroupConfig{Device: "cpu", Instances: 2, Buckets: []int{1}, OwnOnly: true}, nil)
	failed := errors.New("no")
	for _, want := range []error{nil, failed, nil} {
		r := &ownRunner{run: func(context.Context) error { return want }}
		h := enterOwn(t, b)
		h.Submit(r)
		if err := h.Wait(t.Context()); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if n, leads := h.Rows(); n != 1 || !leads || h.Outputs()[0].Name != "own" || h.Group().Device() != "cpu" {
			t.Errorf("%d rows, leads %t", n, leads)
		}
		if r.closed.Load() != 0 {
			t.Error("closed while its outputs are read")
		}
		h.Release()
		h.Release()
		if r.closed.Load() != 1 {
			t.Errorf("closed %d times", r.closed.Load())
		}
	}
	if err := b.InUse(); err != nil {
		t.Error(err)
	}
}

// TestOwnRunReleasedEarly releases a run while it waits for an instance, and one while it runs: memory is freed only after the run.
func TestOwnRunReleasedEarly(t *testing.T) {
	b := ownBatcher(t, GroupConfig{Device: "cpu", Instances: 1, Buckets: []int{2}, OwnOnly: true}, nil)
	running, open := make(chan struct{}), make(chan struct{})
	first := &ownRunner{run: func(context.Context) error { close(running); <-open; return nil }}
	second := &ownRunner{run: func(context.Context) error { t.Error("a released run ran"); return nil }}
	h, waiting := enterOwn(t, b), enterOwn(t, b)
	h.Submit(first)
	<-running
	waiting.Submit(second)
	waiting.Release()
	if second.closed.Load() != 1 {
		t.Error("the run that waited is not closed")
	}
	h.Release()
	if first.closed.Load() != 0 {
		t.Error("closed during its run")
	}
	close(open)
	for deadline := time.Now().Add(10 * time.Second); first.closed.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if first.closed.Load() != 1 || b.InUse() != nil {
		t.Errorf("closed %d times, %v", first.closed.Load(), b.InUse())
	}
}

// TestOwnRunsTakeTurnsWithBatches has both in the order of their arrival on one instance.
func TestOwnRunsTakeTurnsWithBatches(t *testing.T) {
	var order []string
	blocked, open := make(chan struct{}), make(chan struct{})
	own := func(name string, wait bool) *ownRunner {
		return &ownRunner{run: func(context.Context) error {
			if order = append(order, name); wait {
				close(blocked)
				<-open
			}
			return nil
		}}
	}
	batch := func() (Runner, error) { return &countingRunner{ownRunner: own("", false), order: &order}, nil }
	b := ownBatcher(t, GroupConfig{Device: "cpu", Instances: 1, Buckets: []int{1, 2}, Inputs: 1}, batch)
	first := enterOwn(t, b)
	first.Submit(own("first", true))
	<-blocked
	row := enterOwn(t, b)
	row.Input(0)
	row.Commit()
	last := enterOwn(t, b)
	last.Submit(own("last", false))
	close(open)
	for _, h := range []*Handle{first, row, last} {
		if err := h.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		h.Release()
	}
	if len(order) != 3 || order[0] != "first" || order[1] != "batch" || order[2] != "last" {
		t.Errorf("order %v", order)
	}
	if err := b.InUse(); err != nil {
		t.Error(err)
	}
}

// countingRunner is a batch that notes its runs.
type countingRunner struct {
	*ownRunner
	order *[]string
}

func (r *countingRunner) Input(int, int) []byte { return make([]byte, 1) }

func (r *countingRunner) Run(context.Context, int) error {
	*r.order = append(*r.order, "batch")
	return nil
}
