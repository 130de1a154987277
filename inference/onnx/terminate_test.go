package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// redEndless never ends if a row's first channel is much larger than its second; see inference/testdata/make.py.
const redEndless = "../testdata/colors-red-endless.onnx"

// paint makes a row of one color.
func paint(row []byte, red, green float32) {
	for i := range len(row) / 4 {
		value := float32(0)
		switch i / 64 { // 8×8 elements a channel
		case 0:
			value = red
		case 1:
			value = green
		}
		binary.NativeEndian.PutUint32(row[4*i:], math.Float32bits(value))
	}
}

var errEnough = errors.New("enough of it")

// ended is a context that ends during a run at the latest.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(errEnough) })
	t.Cleanup(func() { timer.Stop() })
	return ctx
}

func TestTerminatedRunLeavesTheBatchUsable(t *testing.T) {
	open(t)
	s := load(t, redEndless, Options{})
	if err := s.EnableParallel(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}})
	for name, run := range map[string]func(context.Context, int) error{"Run": b.Run, "RunParallel": b.RunParallel} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				paint(b.Input(0, 0), 1, 0)
				paint(b.Input(0, 1), 0, 1)
				if err := run(ended(t), 2); !errors.Is(err, errEnough) {
					t.Fatalf("an endless run ended with %v", err)
				}
				paint(b.Input(0, 0), 0.5, 1)
				if err := run(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
				if got, want := floats(b.Outputs(0)[0].Data), []float32{5, 10, 0}; !near(got, want) {
					t.Errorf("after it: %v, want %v", got, want)
				}
			}
			over, cancel := context.WithCancelCause(t.Context())
			cancel(errEnough)
			if err := run(over, 1); !errors.Is(err, errEnough) {
				t.Errorf("a run that begins after its end: %v", err)
			}
		})
	}
}

func TestTrialRunsAreTerminated(t *testing.T) {
	open(t)
	s := load(t, "../testdata/colors-endless.onnx", Options{})
	before := Live()
	if b, err := s.NewBatch(ended(t), BatchSpec{Rows: 1}); !errors.Is(err, errEnough) {
		t.Errorf("a batch of a model that never ends: %v, %v", b, err)
	}
	if Live() != before {
		t.Errorf("%d native values are left", Live()-before)
	}
}

// A context that ends just when a run does must not end the next.
func TestTerminationDoesNotReachTheNextRun(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/conv.onnx", Options{}), BatchSpec{Rows: 1})
	noise(b, 0, 1)
	for i := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := b.Run(ctx, 1); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(i, err)
		}
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestSessionCreationIsCanceled(t *testing.T) {
	open(t)
	before := Live()
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if s, err := NewSession("testdata/conv.onnx", Options{Load: over}); !errors.Is(err, errEnough) {
		t.Errorf("a session was made: %v, %v", s, err)
	}
	if Live() != before {
		t.Errorf("%d native values are left", Live()-before)
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	done := cancelLoad(over, options)
	done() // waits for the flag, as the context is over
	s, err := ort.NewDynamicAdvancedSession("testdata/conv.onnx", []string{"x"}, []string{"y"}, options)
	if err == nil || !strings.Contains(err.Error(), "canceled due to user request") {
		t.Errorf("a session was made: %v, %v", s, err)
	}
	if err := load(t, "testdata/conv.onnx", Options{Load: t.Context()}).EnableParallel(t.Context(), 2); err != nil {
		t.Error(err)
	}
}
