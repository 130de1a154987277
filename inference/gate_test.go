package inference

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
)

var (
	right   = onnxwriter.ColorClassifier(0, 1, 2).Bytes()
	spoilt  = onnxwriter.ColorClassifier(0, 2, 1).Bytes() // green and blue are confused: two thirds of the images are wrong
	spoilt2 = onnxwriter.ColorClassifier(1, 0, 2).Bytes()
)

const gate = "versions: {gate: {images: held, "

// gatedRepository has a model with a gate over 210 images, 70 of each color.
func gatedRepository(t *testing.T, limits string, versions ...[]byte) *testRepository {
	r := newRepository(t).define("colors", colors+gate+limits+"}}\n")
	for name, c := range map[string]color.RGBA{"red": red, "green": green, "blue": blue} {
		data := plain(t, c, 8, 8)
		for i := range 70 {
			r.write(fmt.Sprintf("colors/held/%s/%02d.png", name, i), data)
		}
	}
	for i, data := range versions {
		r.version(i+1, data)
	}
	return r
}

func (r *testRepository) version(number int, data []byte) {
	r.t.Helper()
	r.write(fmt.Sprintf("colors/%d/model.onnx", number), data)
}

// syncFails syncs and returns the error.
func syncFails(t *testing.T, e *Engine, want ...string) {
	t.Helper()
	err := e.Sync(t.Context())
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Sync said %v, want %q", err, text)
		}
	}
}

func (e *Engine) gateOf(t *testing.T, version string) GateResult {
	t.Helper()
	for _, s := range e.Models() {
		if s.Version == version && s.Gate != nil {
			return *s.Gate
		}
	}
	return GateResult{}
}

func near(value *float64, want float64) bool { return value != nil && math.Abs(*value-want) < 1e-9 }

func TestGateRefusesAWorseVersion(t *testing.T) {
	for limits, c := range map[string]struct {
		reason, says string
	}{
		"max_drop: 0.01":     {RefusedMaxDrop, "the accuracy 0.3333 on 210 images is 0.6667 below that of version 1, 1.0000; max_drop is 0.01"},
		"min_accuracy: 0.9":  {RefusedMinAccuracy, "the accuracy 0.3333 on 210 images is below min_accuracy 0.9"},
		"min_agreement: 0.9": {RefusedMinAgreement, "the agreement with version 1 is 0.3333 on 210 images, below min_agreement 0.9"},
	} {
		t.Run(limits, func(t *testing.T) {
			r := gatedRepository(t, limits, right)
			e := r.engine(nil)
			var log testenv.Buffer
			e.log = slog.New(slog.NewTextHandler(&log, nil))
			if err := e.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.version(2, spoilt)
			syncFails(t, e, "model colors version 2: refused by versions.gate: "+c.says)
			if got := states(e); got != "colors/1:ready colors/2:failed" {
				t.Errorf("states %s", got)
			}
			g := e.gateOf(t, "2")
			if g.Reason != c.reason || g.Images != 210 || g.Against != "1" {
				t.Errorf("%+v", g)
			}
			if c.reason == RefusedMaxDrop && (!near(g.Accuracy, 70.0/210) || !near(g.ServedAccuracy, 1) || g.Agreement != nil) {
				t.Errorf("measured %v", g.Measures())
			}
			if !strings.Contains(log.String(), `level=WARN msg="version not taken: it did not pass its gate" model=colors version=2`) ||
				!strings.Contains(log.String(), "images=210") || !strings.Contains(log.String(), "reason="+c.reason) {
				t.Errorf("log:\n%s", log.String())
			}
			refused := e.models["colors"].versions[1]
			syncFails(t, e, c.says)
			if again := e.models["colors"].versions[1]; again != refused {
				t.Error("it was judged again without a change")
			}
			r.write("colors/held/red/new.png", plain(t, red, 8, 8))
			syncFails(t, e, "on 211 images")
			r.version(3, right)
			if err := e.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			until(t, "the better version", func() bool { return states(e) == "colors/3:ready" })
			if g := e.gateOf(t, "3"); g.Reason != "" || g.Images != 211 || g.Against != "1" {
				t.Errorf("%+v", g)
			}
		})
	}
}

// TestRefusedVersionIsTakenOnceItIsRepaired, or once the gate is gone.
func TestRefusedVersionIsTakenOnceItIsRepaired(t *testing.T) {
	for what, change := range map[string]func(r *testRepository){
		"its file is replaced":  func(r *testRepository) { r.version(2, append(right[:len(right):len(right)], 0x32, 0)) }, // an empty doc_string: another size
		"the gate is removed":   func(r *testRepository) { r.define("colors", colors) },
		"the gate allows it":    func(r *testRepository) { r.define("colors", colors+gate+"max_drop: 0.7}}\n") },
		"the limit is a bit up": func(r *testRepository) { r.define("colors", colors+gate+"max_drop: 0.66667}}\n") },
	} {
		t.Run(what, func(t *testing.T) {
			r := gatedRepository(t, "max_drop: 0.01", right)
			e := r.synced(nil)
			r.version(2, spoilt)
			syncFails(t, e, "refused by versions.gate")
			change(r)
			if err := e.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			until(t, "the version", func() bool { return states(e) == "colors/2:ready" })
		})
	}
}

func TestFirstVersionMustReachMinAccuracy(t *testing.T) {
	e := gatedRepository(t, "min_accuracy: 0.5, max_drop: 1", spoilt).engine(nil)
	syncFails(t, e, "the accuracy 0.3333 on 210 images is below min_accuracy 0.5")
	if got := states(e); got != "colors/1:failed" || len(e.Ready()) == 0 {
		t.Errorf("states %s; not ready because %q", got, e.Ready())
	}
	if got := states(gatedRepository(t, "max_drop: 0", spoilt).synced(nil)); got != "colors/1:ready" {
		t.Errorf("with nothing to compare it with: %s", got)
	}
}

// TestRestartDecidesTheSame starts with versions of which the last is spoilt: one below it is served, the best that is known.
func TestRestartDecidesTheSame(t *testing.T) {
	for what, c := range map[string]struct {
		limits   string
		versions [][]byte
		want     string
		gate     string // the version that the last was compared with
	}{
		"the last is spoilt":                     {"max_drop: 0.01", [][]byte{right, spoilt}, "colors/1:ready colors/2:failed", "1"},
		"the last is good":                       {"max_drop: 0.01", [][]byte{right, right}, "colors/2:ready", "1"},
		"the last two are spoilt":                {"max_drop: 0.01, min_accuracy: 0.5", [][]byte{right, spoilt, spoilt2}, "colors/1:ready colors/3:failed", "1"},
		"the one before is spoilt":               {"max_drop: 0.01, min_accuracy: 0.5", [][]byte{spoilt, right}, "colors/2:ready", ""},
		"the one before does not load":           {"max_drop: 0.01", [][]byte{right, []byte("no model"), spoilt}, "colors/1:ready colors/3:failed", "1"},
		"the last does not load":                 {"max_drop: 0.01", [][]byte{right, []byte("no model")}, "colors/1:ready colors/2:failed", ""},
		"all are spoilt":                         {"min_accuracy: 0.5", [][]byte{spoilt, spoilt2}, "colors/2:failed", ""},
		"a version that is better than the last": {"max_drop: 0.01", [][]byte{spoilt, right}, "colors/2:ready", "1"},
	} {
		t.Run(what, func(t *testing.T) {
			r := gatedRepository(t, c.limits, c.versions...)
			e := r.engine(func(c *Config) { c.Models = []ModelConfig{{Name: "colors", Required: true}} })
			_ = e.StartSync(t.Context())
			err := e.Await(t.Context(), true)
			failed, isSync := errors.AsType[*SyncError](err)
			if served := strings.Contains(c.want, "ready"); served && isSync && len(failed.Required()) > 0 || !served && (!isSync || len(failed.Required()) == 0) {
				t.Errorf("the server would start or end wrongly: %v", err)
			}
			_ = e.Sync(t.Context()) // waits for all; states are checked
			until(t, c.want, func() bool { return states(e) == c.want })
			last := fmt.Sprint(len(c.versions))
			if g := e.gateOf(t, last); g.Against != c.gate {
				t.Errorf("version %s was compared with %q, want %q", last, g.Against, c.gate)
			}
		})
	}
}

// TestRollbackIsNotJudged removes the newest version: the one before returns, although it is worse.
func TestRollbackIsNotJudged(t *testing.T) {
	r := gatedRepository(t, "max_drop: 0.01", spoilt, right)
	e := r.synced(nil)
	until(t, "version 2", func() bool { return states(e) == "colors/2:ready" })
	r.remove("colors/2")
	if err := e.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "version 1", func() bool { return states(e) == "colors/1:ready" })
}

// TestGateThatCannotJudgeTakesNothing: the error has the key, and the version is retried like one that failed to load.
func TestGateThatCannotJudgeTakesNothing(t *testing.T) {
	for what, c := range map[string]struct {
		change func(r *testRepository)
		says   string
	}{
		"too few images":      {func(r *testRepository) { r.remove("colors/held/red") }, "versions.gate.images: held has 140 images, of which 140 can be compared; want at least 200"},
		"folders of no class": {func(r *testRepository) { r.move("colors/held/red", "colors/held/rot") }, "versions.gate.images: held has 210 images, of which 140 can be compared"},
		"no folder":           {func(r *testRepository) { r.remove("colors/held") }, "versions.gate.images: "},
		"images that are none": {func(r *testRepository) {
			for i := range 20 {
				r.write(fmt.Sprintf("colors/held/red/%02d.png", i), []byte("x"))
			}
		}, "versions.gate.images: only 190 images can be decoded"},
	} {
		t.Run(what, func(t *testing.T) {
			r := gatedRepository(t, "max_drop: 0.01", right)
			e := r.synced(nil)
			c.change(r)
			r.version(2, right)
			syncFails(t, e, "model colors version 2: "+c.says)
			if got := states(e); got != "colors/1:ready colors/2:failed" || e.gateOf(t, "2").Reason != NotJudged {
				t.Errorf("states %s, %+v", got, e.gateOf(t, "2"))
			}
		})
	}
}

// crowd has the engine believe that it is never idle, so that a gate waits for each image.
func crowd(t *testing.T, e *Engine) {
	t.Helper()
	e.workers.count(1000)
	t.Cleanup(func() { e.workers.count(-1000) })
}

func TestGateHasATimeLimit(t *testing.T) {
	r := gatedRepository(t, "max_drop: 0.01, timeout: 1s", right)
	e := r.synced(nil)
	crowd(t, e)
	r.version(2, right)
	syncFails(t, e, "not judged within versions.gate.timeout, 1s")
	if g := e.gateOf(t, "2"); g.Reason != NotJudged || g.Images >= 210 || states(e) != "colors/1:ready colors/2:failed" {
		t.Errorf("%+v, %s", g, states(e))
	}
}

// judgingVersion starts to judge version 2, which waits.
func judgingVersion(t *testing.T) (*testRepository, *Engine) {
	t.Helper()
	r := gatedRepository(t, "max_drop: 0.01", right)
	e := r.synced(nil)
	crowd(t, e)
	r.version(2, right)
	if err := e.StartSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := e.models["colors"].versions[1]
	until(t, "the gate", v.stopped) // it is loaded
	return r, e
}

func TestGateEndsWithTheServer(t *testing.T) {
	_, e := judgingVersion(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("Close said %v", err)
	}
}

func TestGateEndsWithTheVersion(t *testing.T) {
	for what, change := range map[string]func(r *testRepository, e *Engine) error{
		"it is removed": func(r *testRepository, e *Engine) error {
			r.remove("colors/2")
			return e.StartSync(t.Context())
		},
		"the model is unloaded": func(_ *testRepository, e *Engine) error { return e.Unload("colors") },
	} {
		t.Run(what, func(t *testing.T) {
			r, e := judgingVersion(t)
			v := e.models["colors"].versions[1]
			if err := change(r, e); err != nil {
				t.Fatal(err)
			}
			select {
			case <-v.loadReturned:
			case <-time.After(30 * time.Second):
				t.Fatal("it is still judged")
			}
			if _, err := v.current(); !errors.Is(err, errUnlisted) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// TestSpareWorkersAreIdleOnes: with three workers, that is two cores, one image at a time leaves a core.
func TestSpareWorkersAreIdleOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for all, images := range map[int]int{1: 1, 2: 1, 3: 2, 9: 8} {
			w := newWorkers(all)
			w.count(images - 1)
			start := time.Now()
			if err := w.spare(t.Context(), time.Second); err != nil || time.Since(start) > 0 {
				t.Errorf("%d workers and %d images: %v after %s", all, images-1, err, time.Since(start))
			}
			w.count(1)
			if err := w.spare(t.Context(), time.Second); err != nil || time.Since(start) != time.Second {
				t.Errorf("%d workers and %d images: %v after %s, want the patience", all, images, err, time.Since(start))
			}
			go func() {
				time.Sleep(100 * time.Millisecond)
				w.count(-1)
			}()
			start = time.Now()
			if err := w.spare(t.Context(), time.Second); err != nil || time.Since(start) > 110*time.Millisecond {
				t.Errorf("%d workers, after an image has left: %v after %s", all, err, time.Since(start))
			}
		}
		w := newWorkers(1)
		w.count(5)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errClosed)
		if err := w.spare(ctx, time.Hour); !errors.Is(err, errClosed) {
			t.Errorf("canceled: %v", err)
		}
	})
}

// TestGateLeavesStatisticsAlone: what it predicts are no requests.
func TestGateLeavesStatisticsAlone(t *testing.T) {
	r := gatedRepository(t, "max_drop: 0.01", right, right)
	e := r.synced(nil)
	until(t, "version 2", func() bool { return states(e) == "colors/2:ready" })
	ref, err := e.Open(t.Context(), "colors", "")
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	if s := ref.Statistics(OfImages); s.Rows != 0 || s.Fail.Count != 0 {
		t.Errorf("%+v", s)
	}
}
