package stop_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"fovea/preprocess/internal/stop"
)

func read(f *stop.Flag) int32 { return atomic.LoadInt32((*int32)(f.Address())) }

func TestFlagIsSetWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := stop.On(ctx)
	defer f.Release()
	if read(f) != 0 {
		t.Fatal("set before the context has ended")
	}
	cancel()
	for read(f) == 0 { // AfterFunc runs on a separate goroutine; the test's timeout ends this
		runtime.Gosched()
	}
}

func TestFlagOfAnEndedContextIsSetAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := stop.On(ctx)
	defer f.Release()
	if read(f) != 1 {
		t.Fatal("not set")
	}
}

func TestReleasedFlagIsNotSet(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := stop.On(ctx)
	f.Release()
	cancel()
	if read(f) != 0 {
		t.Fatal("set after its release")
	}
}
