package inference

import (
	"context"
	"errors"
	"image/color"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

func TestSwapUnderLoadFailsNoRequest(t *testing.T) {
	r := newRepository(t).define("colors", colors+"batching: {max_size: 4}\n").add("colors", 1, "colors")
	e := r.synced(nil)
	img := plain(t, green, 20, 20)
	var stop atomic.Bool
	var seen sync.Map
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for !stop.Load() {
				got, err := e.Predict(t.Context(), Request{Image: img})
				if first(got) != "green" {
					t.Errorf("got %q, %v", first(got), err)
					return
				}
				seen.Store(got.Version, true)
			}
		})
	}
	answers := func(version string) func() bool {
		return func() bool { _, ok := seen.Load(version); return ok || t.Failed() }
	}
	until(t, "load on version 1", answers("1"))
	for n, version := range []string{"2", "3", "4"} {
		r.add("colors", n+2, "colors")
		if err := e.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		got, err := e.Predict(t.Context(), Request{Image: img})
		if err != nil || got.Version != version {
			t.Errorf("after the swap to %s: %+v, %v", version, got, err)
		}
		until(t, "load on version "+version, answers(version))
	}
	r.remove("colors/4") // roll back
	if err := e.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	stop.Store(true)
	wg.Wait()
	until(t, "the end of the old versions", func() bool { return states(e) == "colors/3:ready" })
}

func TestLoadsAreLogged(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.engine(nil)
	var log testenv.Buffer
	e.log = slog.New(slog.NewTextHandler(&log, nil))
	logged := func(level, message, version string) {
		t.Helper()
		line := "level=" + level + ` msg="` + message + `" model=colors version=` + version
		until(t, line, func() bool { return strings.Contains(log.String(), line) })
	}
	_ = e.Sync(t.Context()) // the log is checked
	logged("INFO", "model loaded", "1")
	r.write("colors/2/model.onnx", []byte("no model"))
	_ = e.Sync(t.Context())
	logged("ERROR", "model failed to load", "2")
	r.add("colors", 3, "colors")
	_ = e.Sync(t.Context())
	logged("INFO", "model loaded", "3")
	logged("INFO", "model unloaded", "1")
}

func TestFailingVersionKeepsTheOld(t *testing.T) {
	for name, file := range map[string]string{
		"its outputs are not finite":         "colors-nan",
		"its answer is not the self-test's":  "colors",
		"its score is below the self-test's": "score",
		"its file is no ONNX":                "make.py",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
			e := r.synced(nil)
			switch file {
			case "colors":
				r.write("colors/self.png", plain(t, red, 8, 8))
				r.define("colors", colors+"self_test: {image: self.png, label: blue}\n").add("colors", 2, file)
			case "score":
				r.write("colors/self.png", plain(t, color.Gray{128}, 8, 8))
				r.define("colors", colors+"self_test: {image: self.png, label: red, min_score: 0.9}\n").add("colors", 2, "colors")
			case "make.py":
				r.write("colors/2/model.onnx", []byte("no model"))
			default:
				r.add("colors", 2, file)
			}
			err := e.Sync(t.Context())
			if err == nil || !strings.Contains(err.Error(), "model colors version 2") {
				t.Errorf("Sync said %v, want the model, the version and the cause", err)
			}
			if got := states(e); got != "colors/1:ready colors/2:failed" {
				t.Errorf("states %s", got)
			}
			got, err := e.Predict(t.Context(), Request{Image: plain(t, blue, 8, 8)})
			if first(got) != "blue" || got.Version != "1" {
				t.Errorf("got %+v, %v; want the old version's answer", got, err)
			}
			r.define("colors", colors).add("colors", 2, "colors") // repaired
			if err := e.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			until(t, "the repaired version", func() bool { return states(e) == "colors/2:ready" })
		})
	}
}

func TestEditedDefinitionIsReloaded(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.synced(nil)
	before := e.models["colors"].served[0]
	if err := e.Sync(t.Context()); err != nil || e.models["colors"].served[0] != before {
		t.Errorf("a Sync without a change loaded again: %v", err)
	}
	r.write("colors/labels.txt", []byte("rouge\nvert\nbleu\n"))
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "rouge" {
		t.Errorf("got %q, %v", first(got), err)
	}
	r.define("colors", "task: classification\nnonsense: 1\n")
	if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("Sync said %v of a broken definition", err)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "rouge" {
		t.Errorf("while the new definition is invalid: got %q, %v", first(got), err)
	}
}

func TestChangedExternalDataIsReloaded(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	r.write("colors/1/model.onnx.data", []byte("weights"))
	e := r.synced(nil)
	before := e.models["colors"].served[0]
	r.write("colors/1/model.onnx.data", []byte("other weights"))
	if err := e.Sync(t.Context()); err != nil || e.models["colors"].served[0] == before {
		t.Errorf("the version is still the one with the old weights; %v", err)
	}
}

func TestUnreadableRepositoryUnloadsNothing(t *testing.T) {
	r := newRepository(t).define("a", colors).add("a", 1, "colors").define("b", colors).add("b", 1, "colors")
	e := r.synced(func(c *Config) { c.Default = "b" })
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := e.Sync(t.Context()); err == nil {
		t.Error("a folder that is not there is no error")
	}
	if got := states(e); got != "a/1:ready b/1:ready" {
		t.Errorf("states %s", got)
	}
	for _, model := range []string{"", "a"} {
		if got, err := e.Predict(t.Context(), Request{Model: model, Image: plain(t, red, 8, 8)}); first(got) != "red" {
			t.Errorf("model %q got %q, %v", model, first(got), err)
		}
	}
}

func TestVersionsByPolicy(t *testing.T) {
	r := newRepository(t).define("colors", colors+"versions: all\n").add("colors", 1, "colors").add("colors", 10, "colors")
	e := r.synced(nil)
	for asked, want := range map[string]string{"": "10", "1": "1", "10": "10"} {
		got, err := e.Predict(t.Context(), Request{Version: asked, Image: plain(t, red, 8, 8)})
		if err != nil || got.Version != want {
			t.Errorf("asked for version %q, got %+v, %v; want %s", asked, got, err, want)
		}
	}
}

func TestModelsAreAddedAndRemoved(t *testing.T) {
	r := newRepository(t).define("a", colors).add("a", 1, "colors").define("bare", colors)
	e := r.synced(nil)
	if got := states(e); got != "a/1:ready" {
		t.Errorf("states %s; a model without weights is not served", got)
	}
	r.define("b", colors).add("b", 1, "colors-fixed4")
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Predict(t.Context(), Request{Model: "b", Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("got %q, %v", first(got), err)
	}
	r.remove("a")
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of a", func() bool { return states(e) == "b/1:ready" })
	if e.Default() != "b" {
		t.Errorf("the default is %q", e.Default())
	}
}

func TestRequiredModelsAreNamedWithTheirCause(t *testing.T) {
	r := newRepository(t).define("good", colors).add("good", 1, "colors").define("nan", colors).add("nan", 1, "colors-nan")
	e := r.engine(func(c *Config) {
		c.Models = []ModelConfig{{Name: "good"}, {Name: "nan", Required: true}, {Name: "missing", Required: true}, {Name: "spare"}}
	})
	err := e.Sync(t.Context())
	var failed *SyncError
	if !errors.As(err, &failed) || len(failed.Failures) != 3 || len(failed.Required()) != 2 {
		t.Fatalf("Sync said %v", err)
	}
	for _, want := range []string{"model nan version 1", "contains NaN", "model missing: ", "model spare: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	reasons := strings.Join(e.Ready(), "\n")
	if !strings.Contains(reasons, "model nan: ") || !strings.Contains(reasons, "model missing: ") || strings.Contains(reasons, "spare") {
		t.Errorf("not ready because %q", reasons)
	}
	failures := 0
	for _, m := range e.Models() {
		if m.State == Failed && m.Error != "" {
			failures++
		}
	}
	if failures != 3 {
		t.Errorf("%d failures in %+v, want those of all three that do not answer", failures, e.Models())
	}
	if got, err := e.Predict(t.Context(), Request{Model: "good", Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("the good model got %q, %v", first(got), err)
	}
}

func TestRequestWithoutModel(t *testing.T) {
	for name, test := range map[string]struct {
		models  []string
		def     string
		model   string // that answers
		code    apierror.Code
		message string
	}{
		"the only model":                {models: []string{"b"}, model: "b"},
		"the default of several":        {models: []string{"a", "b"}, def: "b", model: "b"},
		"several models and no default": {models: []string{"b", "a"}, code: apierror.ModelRequired, message: "one of a, b,"},
		"no models":                     {code: apierror.NotReady, message: "no model is loaded yet"},
		"a broken model counts as well": {models: []string{"a", "broken"}, code: apierror.ModelRequired, message: "one of a, broken,"},
		"a default that is not there":   {models: []string{"a"}, def: "c", code: apierror.NotReady, message: `"c" is not ready`},
		"a default that fails its load": {models: []string{"a", "broken"}, def: "broken", code: apierror.NotReady, message: `"broken" is not ready`},
		"the only model fails its load": {models: []string{"broken"}, code: apierror.NotReady, message: `"broken" is not ready`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			for _, m := range test.models {
				onnx := "colors"
				if m == "broken" {
					onnx = "colors-nan"
				}
				r.define(m, colors).add(m, 1, onnx)
			}
			e := r.engine(func(c *Config) { c.Default = test.def })
			_ = e.Sync(t.Context()) // some fail
			got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
			switch {
			case test.model != "" && (err != nil || got.Model != test.model || e.Default() != test.model):
				t.Errorf("got %+v, %v; the default is %q", got, err, e.Default())
			case test.model == "" && (apierror.From(err).Code != test.code || !strings.Contains(err.Error(), test.message)):
				t.Errorf("got %v; want %s: %s", err, test.code, test.message)
			}
		})
	}
}

func TestMissingDefaultModelIsReported(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.engine(func(c *Config) { c.Default = "tints" })
	if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "model tints: ") {
		t.Errorf("Sync said %v", err)
	}
	if _, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); apierror.From(err).Code != apierror.NotReady {
		t.Errorf("the default model: %v", err)
	}
	if got, err := e.Predict(t.Context(), Request{Model: "colors", Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("the other model got %q, %v", first(got), err)
	}
	r.define("tints", colors).add("tints", 1, "colors")
	if err := e.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("the default model, now there, got %q, %v", first(got), err)
	}
}

func TestLoadContinuesAfterSyncTimesOut(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.engine(nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for len(e.Models()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	})
	_ = e.Sync(ctx) // the load may be over before ctx is checked
	wg.Wait()
	until(t, "the model", func() bool { return len(e.Ready()) == 0 })
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Sync(ctx); err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsForAcceptedRequests(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors").synced(nil)
	entered, open := hold(e.models["colors"].served[0], nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "red" {
			t.Errorf("got %q, %v", first(got), err)
		}
	})
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err == nil || !strings.Contains(err.Error(), "colors version 1") {
		t.Errorf("Close said %v while a request was in flight", err)
	}
	close(open)
	wg.Wait()
}

func TestNotReadyBeforeTheRepositoryIsRead(t *testing.T) {
	e := newRepository(t).engine(nil)
	for _, model := range []string{"", "colors"} {
		if _, err := e.Predict(t.Context(), Request{Model: model}); apierror.From(err).Code != apierror.NotReady {
			t.Errorf("model %q got %v, want not_ready", model, err)
		}
	}
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Predict(t.Context(), Request{Model: "colors"}); apierror.From(err).Code != apierror.ModelNotFound {
		t.Errorf("got %v, want model_not_found", err)
	}
	if _, err := e.Predict(t.Context(), Request{}); apierror.From(err).Code != apierror.NotReady {
		t.Errorf("with an empty repository: got %v, want not_ready", err)
	}
	if got := strings.Join(e.Ready(), "; "); !strings.Contains(got, "no model found in "+e.repo.Dir()) {
		t.Errorf("with an empty repository: %q does not name the folder", got)
	}
}

// TestFailedVersionIsRetriedInProportionToItsLoad covers loads shorter and longer than a tenth of minRetry.
func TestFailedVersionIsRetriedInProportionToItsLoad(t *testing.T) {
	for took, wait := range map[time.Duration]time.Duration{time.Second: minRetry, 5 * time.Minute: 50 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := wantedVersion{repository.Version{Number: 1}, "files", ""}
			v := newVersion(t.Context(), &shared{log: slog.New(slog.DiscardHandler)}, &repository.Entry{}, w)
			m := &model{versions: []*version{v}}
			time.Sleep(took)
			v.setState(Failed, errors.New("failed"))
			close(v.loadStopped)
			time.Sleep(wait - 1)
			if m.attempted(wantedVersion{w.Version, "other files", ""}) {
				t.Error("not retried with other files")
			}
			if !m.attempted(w) {
				t.Errorf("a load of %s was retried before %s", took, wait)
			}
			time.Sleep(time.Nanosecond)
			v.loadStopped = make(chan struct{})
			if !m.attempted(w) {
				t.Error("retried while the load still computes")
			}
			close(v.loadStopped)
			if m.attempted(w) || len(m.versions) > 0 {
				t.Errorf("a load of %s was not retried after %s", took, wait)
			}
		})
	}
}
