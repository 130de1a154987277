package inference

import (
	"context"
	"errors"
	"image/color"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/postprocess"
	"fovea/preprocess/geometry"
)

func TestPredictNamesTheColor(t *testing.T) {
	r := newRepository(t)
	files := []string{"colors", "colors-fixed4", "colors-nhwc", "colors-half", "colors-int8"}
	for _, file := range files {
		r.define(file, colors).add(file, 1, file)
	}
	e := r.synced(nil)
	for want, c := range map[string]color.Color{"red": red, "green": green, "blue": blue} {
		for _, size := range [][2]int{{8, 8}, {1, 1}, {300, 20}} {
			for _, model := range files {
				got, err := e.Predict(t.Context(), Request{Model: model, Image: plain(t, c, size[0], size[1])})
				if first(got) != want || err != nil {
					t.Errorf("%s calls a %s image of %v %q, %v", model, want, size, first(got), err)
				}
				if err == nil && (got.Model != model || got.Version != "1" || got.Device != "cpu") {
					t.Errorf("answered by %s/%s on %s", got.Model, got.Version, got.Device)
				}
			}
		}
	}
}

func TestPredictErrors(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(func(c *Config) { c.MaxPixels = 10_000 })
	good := plain(t, red, 8, 8)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		request Request
		want    apierror.Code
		says    string
	}{
		"a model that does not exist":   {request: Request{Model: "../etc", Image: good}, want: apierror.ModelNotFound, says: "available: colors"},
		"a version that does not exist": {request: Request{Version: "7", Image: good}, want: apierror.ModelNotFound, says: "available: 1"},
		"no bytes":                      {request: Request{}, want: apierror.Undecodable},
		"bytes of no image":             {request: Request{Image: []byte("hello, world")}, want: apierror.UnsupportedFormat},
		"an image truncated":            {request: Request{Image: good[:len(good)/2]}, want: apierror.Undecodable},
		"too many pixels":               {request: Request{Image: plain(t, red, 101, 100)}, want: apierror.ImageTooLarge},
		"a client that has gone":        {ctx: gone, request: Request{Image: good}, want: apierror.Canceled},
		"a deadline that is over":       {ctx: late, request: Request{Image: good}, want: apierror.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			_, err := e.Predict(ctx, test.request)
			var f *apierror.Error
			if !errors.As(err, &f) || f.Code != test.want || !strings.Contains(f.Message, test.says) {
				t.Errorf("got %v, want %s with %q", err, test.want, test.says)
			}
			if got, err := e.Predict(t.Context(), Request{Image: good}); first(got) != "red" {
				t.Errorf("the next good request got %q, %v", first(got), err)
			}
		})
	}
	atRest(t, e)
}

// atRest checks that no row, slot or worker is held.
func atRest(t *testing.T, e *Engine) {
	t.Helper()
	for _, m := range e.models {
		for _, v := range m.served {
			if n := v.queue.len(); n != 0 {
				t.Errorf("%s: %d images are counted as waiting", v.model, n)
			}
			if err := v.batcher.InUse(); err != nil {
				t.Errorf("%s: %v", v.model, err)
			}
		}
	}
	checkReleased(t, e.shared.workers)
}

func TestClosedEngineRefuses(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
	if f := apierror.From(err); f == nil || f.Code != apierror.Draining {
		t.Errorf("got %v, want draining", err)
	}
	if err := e.Sync(t.Context()); err == nil {
		t.Error("a closed engine synced")
	}
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestFullQueueSetsRetryAfter(t *testing.T) {
	e := newRepository(t).define("colors", colors+"batching: {queue: 3}\n").add("colors", 1, "colors").
		synced(func(c *Config) { c.Instances = 1 })
	entered, open := hold(e.models["colors"].served[0], nil)
	img := plain(t, red, 8, 8)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if got, err := e.Predict(t.Context(), Request{Image: img}); first(got) != "red" {
				t.Errorf("an accepted image got %q, %v", first(got), err)
			}
		})
	}
	<-entered
	until(t, "a full queue", func() bool { return e.Models()[0].Queue == 3 })
	_, err := e.Predict(t.Context(), Request{Image: img})
	if f := apierror.From(err); f == nil || f.Code != apierror.QueueFull || f.RetryAfter < minRetryAfter || f.RetryAfter > maxRetryAfter {
		t.Errorf("got %v, want queue_full with Retry-After", err)
	}
	close(open)
	wg.Wait()
	atRest(t, e)
}

func TestCanceledRequestsLeaveTheQueueAtOnce(t *testing.T) {
	e := newRepository(t).define("colors", colors+"batching: {queue: 10}\n").add("colors", 1, "colors").
		synced(func(c *Config) { c.Instances = 1 })
	v := e.models["colors"].served[0]
	entered, open := hold(v, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 10 { // one runs, one is packed, eight wait
		wg.Go(func() {
			if _, err := e.Predict(ctx, Request{Image: plain(t, red, 8, 8)}); apierror.From(err).Code != apierror.Canceled {
				t.Errorf("got %v, want canceled", err)
			}
		})
	}
	<-entered
	until(t, "a full queue", func() bool { return v.queue.len() == 10 })
	cancel()
	wg.Wait() // while the run still holds on
	if n := v.queue.len(); n != 0 {
		t.Errorf("%d images are counted as waiting", n)
	}
	close(open)
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, blue, 8, 8)}); first(got) != "blue" {
		t.Errorf("the next request got %q, %v", first(got), err)
	}
	if n := len(entered); n != 1 {
		t.Errorf("%d further runs, want 1: no request waited for the packed row", n)
	}
	atRest(t, e)
}

func TestFailedRunFailsOneRequest(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	_, open := hold(e.models["colors"].served[0], errors.New("CUDA failure 2: out of memory"))
	close(open)
	img := plain(t, red, 8, 8)
	if _, err := e.Predict(t.Context(), Request{Image: img}); apierror.From(err).Code != apierror.Internal {
		t.Errorf("got %v, want internal", err)
	}
	replaceRuns(e.models["colors"].served[0], nil)
	if got, err := e.Predict(t.Context(), Request{Image: img}); first(got) != "red" {
		t.Errorf("the next request got %q, %v", first(got), err)
	}
	if err := e.Broken(); err != nil {
		t.Errorf("a transient error is latched: %v", err)
	}
	atRest(t, e)
}

func TestDeviceLostIsLatched(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	if reasons := e.Ready(); len(reasons) != 0 {
		t.Errorf("not ready: %v", reasons)
	}
	lost := &onnx.DeviceError{Device: onnx.Device{Kind: onnx.CUDA}, Code: 700, Name: "cudaErrorIllegalAddress",
		Cause: errors.New("an illegal memory access was encountered")}
	entered, open := hold(e.models["colors"].served[0], lost)
	close(open)
	for range 3 {
		_, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
		if apierror.From(err).Code != apierror.DeviceLost {
			t.Errorf("got %v, want device_lost", err)
		}
	}
	if n := len(entered); n != 1 {
		t.Errorf("%d runs; want 1, then no request may touch the device", n)
	}
	if !errors.Is(e.Broken(), lost) || len(e.Ready()) == 0 {
		t.Errorf("broken %v, ready %v", e.Broken(), e.Ready())
	}
	atRest(t, e)
}

func TestHealthCheckFindsALostDevice(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	if err := e.HealthCheck(t.Context()); err != nil || e.Broken() != nil {
		t.Fatalf("the CPU: %v, broken %v", err, e.Broken())
	}
	passing := errors.New("busy")
	lost := &onnx.DeviceError{Device: onnx.Device{Kind: onnx.CUDA}, Code: 214, Name: "cudaErrorECCUncorrectable", Cause: passing}
	for _, test := range []struct{ says, latched error }{{passing, nil}, {lost, lost}} {
		e.checkDevice = func(onnx.Device) error { return test.says }
		if err := e.HealthCheck(t.Context()); !errors.Is(err, test.says) || !errors.Is(e.Broken(), test.latched) {
			t.Errorf("%v: HealthCheck says %v, broken is %v", test.says, err, e.Broken())
		}
	}
}

// badDecoder panics.
type badDecoder struct{ postprocess.Decoder }

func (badDecoder) Decode([]postprocess.Tensor, geometry.Transform, postprocess.Params) (postprocess.Prediction, error) {
	panic("index out of range")
}

func TestPanicInPostprocessingCostsOneRequest(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	v := e.models["colors"].served[0]
	good := v.decoder
	v.decoder = badDecoder{}
	_, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
	if f := apierror.From(err); f.Code != apierror.Internal || strings.Contains(f.Message, "index out of range") {
		t.Errorf("got %v, want internal without the panic's message", err)
	}
	v.decoder = good
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("the next request got %q, %v", first(got), err)
	}
	atRest(t, e)
}
