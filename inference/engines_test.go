package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"fovea/inference/onnx"
	"fovea/internal/onnxwriter"
)

// engineVersion is a version on the CPU, and builds of engines for batches of 1 and 2 that do makes.
func engineVersion(t *testing.T, input string, do func(context.Context, *onnx.Session, onnx.EngineSpec) error) (*version, *engineBuilds) {
	t.Helper()
	model := onnxwriter.ColorClassifier(0, 1, 2)
	if input != "" {
		model = meanOf(onnxwriter.Float, "n", 3, "h", "w")
	}
	batching := "batching: {max_size: 2}\n"
	if input != "" {
		batching = ""
	}
	e := newRepository(t).made("m", "task: classification\n"+batching+input+"output: {decode: softmax}", model).synced(nil)
	v := e.models["m"].served[0]
	b := &engineBuilds{do: do, building: true}
	for _, rows := range v.groups[0].Buckets() {
		b.of = append(b.of, engineBuild{v.sessions[0], v.groups[0], rows})
	}
	return v, b
}

func TestEnginesAreBuiltInTurn(t *testing.T) {
	turn := semaphore.NewWeighted(1)
	var b *engineBuilds
	var seen []string
	v, b := engineVersion(t, "", func(_ context.Context, s *onnx.Session, spec onnx.EngineSpec) error {
		if turn.TryAcquire(1) || s == nil || spec.Trial == nil {
			t.Error("an engine is built out of turn")
		}
		seen = append(seen, fmt.Sprint(spec.Rows, spec.RowShapes, spec.Options, b.status().Building))
		return nil
	})
	v.shared.cfg.TensorRT = TensorRTConfig{Cache: "/engines", FP16: true}
	b.build(t.Context(), v, turn)
	if want := []string{"2 [[3 8 8]] {/engines true} true", "1 [[3 8 8]] {/engines true} true"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
	if s := b.status(); s.Building || s.Of != 2 || s.Error != "" || s.String() != "0 of 2 TensorRT engines are built" {
		t.Errorf("%+v", s)
	}
	if err := turn.Acquire(t.Context(), 1); err != nil {
		t.Error("the turn is not given back")
	}
}

func TestEnginesThatCannotBeBuilt(t *testing.T) {
	built := 0
	v, b := engineVersion(t, "", func(ctx context.Context, s *onnx.Session, spec onnx.EngineSpec) error {
		built++
		return s.BuildEngine(ctx, spec) // which the CPU has none of
	})
	b.build(t.Context(), v, semaphore.NewWeighted(1))
	if s := b.status(); built != 2 || s.Building || s.Built != 0 || !strings.Contains(s.String(), "0 of 2 TensorRT engines are built: ") || !strings.Contains(s.Error, "the device is cpu") {
		t.Errorf("%d, %+v", built, s)
	}
	v.engines = b
	v.engineFailed(2, errors.New("out of memory"))
	if s := b.status(); s.Error != "the engine for batches of 2 failed: out of memory" {
		t.Errorf("%+v", s)
	}
}

func TestEnginesEndWithTheVersion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v, b := engineVersion(t, "", func(context.Context, *onnx.Session, onnx.EngineSpec) error {
		cancel()
		return context.Canceled
	})
	b.build(ctx, v, semaphore.NewWeighted(1))
	if s := b.status(); s.Building || s.Error != "" {
		t.Errorf("%+v", s)
	}
	b.build(ctx, v, semaphore.NewWeighted(0)) // no turn comes
}

func TestModelsOfOpenSizeHaveNoEngines(t *testing.T) {
	v, b := engineVersion(t, "input: {resize: none}\n", func(context.Context, *onnx.Session, onnx.EngineSpec) error {
		t.Error("an engine is built")
		return nil
	})
	b.build(t.Context(), v, semaphore.NewWeighted(1))
	if s := b.status(); s.Error != errOpenSize.Error() || s.Building {
		t.Errorf("%+v", s)
	}
}

func TestDevicesWithoutTensorRTHaveNoEngines(t *testing.T) {
	v, _ := engineVersion(t, "", nil)
	if b := newEngineBuilds(v); b != nil || b.status() != nil {
		t.Errorf("%+v", b)
	}
	(*engineBuilds)(nil).build(t.Context(), v, nil)
}

// TestEnginesCountAsMemory reserves the weights of each engine, on the GPU that models without engines are on, too.
func TestEnginesCountAsMemory(t *testing.T) {
	v, _ := engineVersion(t, "", nil)
	v.weights.Size = 1000
	plain, err := onnx.ParseDevice("cuda:1")
	noError(t, err)
	compiled, err := onnx.ParseDevice("tensorrt:1")
	noError(t, err)
	v.definition.Batching.MaxSize = 8
	if got := fmt.Sprint(v.weightBytes([]groupSpec{{plain, 1}, {compiled, 1}})); got != "map[cuda:1:6000]" { // 1, and 1 with engines for 1, 2, 4 and 8
		t.Errorf("%s", got)
	}
}
