package inference

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"fovea/postprocess"
)

// batchCounter counts the runs of each number of rows.
type batchCounter struct {
	noObserver
	mu   sync.Mutex
	rows map[int]int
}

func (b *batchCounter) Batch(_, _ string, rows, _ int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[rows]++
}

// TestPredictionsDoNotDependOnTheBatch sends images of different sizes, alone and sharing batches of 4 and 8 whose
// every row was poisoned before, and compares all scores.
func TestPredictionsDoNotDependOnTheBatch(t *testing.T) {
	alone := map[string]postprocess.Prediction{}
	for _, size := range []int{1, 4, 8} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			delay := 10 * time.Second // only full batches run
			if size == 1 {
				delay = 0
			}
			r := newRepository(t)
			names := r.real(fmt.Sprintf("batching: {max_size: %d, max_delay: %s}", size, delay),
				"mobilenetv2-12-int8", "squeezenet-fp32", "yolox-nano-batch", "deimv2-atto")
			counter := &batchCounter{rows: map[int]int{}}
			e := r.engine(func(c *Config) { c.Instances = 1 })
			e.shared.obs = counter
			if err := e.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				poison(e.models[name].served[0], size)
				compare(t, e, name, alone)
			}
			counter.mu.Lock()
			defer counter.mu.Unlock()
			if runs := counter.rows[size]; runs < 8/size*len(names) {
				t.Errorf("%d runs of %d rows, want %d", runs, size, 8/size*len(names))
			}
		})
	}
}

// compare sends eight images concurrently and compares the predictions with those in alone, or puts them there.
func compare(t *testing.T, e *Engine, name string, alone map[string]postprocess.Prediction) {
	images := samples(t)
	images = append(images, append(images, images...)...)[:8]
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, s := range images {
		wg.Go(func() {
			got, err := e.Predict(t.Context(), Request{Model: name, Image: s.data})
			if err != nil {
				t.Errorf("%s, %s: %v", name, s.name, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			key := fmt.Sprint(name, " ", s.name)
			if want, ok := alone[key]; !ok {
				alone[key] = got.Prediction
			} else if why := differs(want, got.Prediction); why != "" {
				t.Errorf("%s: %s", key, why)
			}
		})
	}
	wg.Wait()
}

// poison fills every row of every batch with bytes that read as NaN.
func poison(v *version, rows int) {
	value, _ := runnersOf.Load(v.sessions[0])
	for _, r := range value.(*testRunners).list {
		for row := range rows {
			for input := range v.inputs {
				in := r.Input(input, row)
				for i := range in {
					in[i] = 0xFF
				}
			}
		}
	}
}

// differs says in what two answers are not the same but for rounding.
func differs(a, b postprocess.Prediction) string {
	const tolerance = 1e-3
	switch a := a.(type) {
	case *postprocess.Classified:
		b, ok := b.(*postprocess.Classified)
		if !ok || len(a.Top) != len(b.Top) {
			return "not as many classes"
		}
		for i := range a.Top {
			if a.Top[i].Class != b.Top[i].Class || math.Abs(a.Top[i].Score-b.Top[i].Score) > tolerance {
				return fmt.Sprintf("class %d is %+v and %+v", i, a.Top[i], b.Top[i])
			}
		}
	case *postprocess.Detected:
		b, ok := b.(*postprocess.Detected)
		if !ok || len(a.Boxes) != len(b.Boxes) {
			return "not as many boxes"
		}
		for i, x := range a.Boxes {
			y := b.Boxes[i]
			if x.Class != y.Class || math.Abs(x.Score-y.Score) > tolerance || math.Abs(x.X1-y.X1) > 0.5 ||
				math.Abs(x.Y1-y.Y1) > 0.5 || math.Abs(x.X2-y.X2) > 0.5 || math.Abs(x.Y2-y.Y2) > 0.5 {
				return fmt.Sprintf("box %d is %+v and %+v", i, x, y)
			}
		}
	}
	return ""
}
