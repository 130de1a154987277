package inference

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/config"
)

// evictions is an Observer of evictions.
type evictions struct {
	noObserver
	mu   sync.Mutex
	list []string
}

func (o *evictions) Evicted(model, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, model+" "+reason)
}

func (o *evictions) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.list, ", ")
}

// sizeOfColors is the memory of a model of testdata.
func sizeOfColors(t testing.TB) int64 {
	t.Helper()
	e := newRepository(t).define("a", colors).add("a", 1, "colors").synced(nil)
	return e.Models()[0].Memory
}

// budgeted is an engine over models of one kind, named a, b, …, with a budget for some of them.
func budgeted(t testing.TB, models, room int, define func(r *testRepository)) (*Engine, *evictions) {
	t.Helper()
	budget := config.Size(int64(room) * sizeOfColors(t))
	r := newRepository(t)
	for i := range models {
		name := string(rune('a' + i))
		r.define(name, colors).add(name, 1, "colors")
	}
	if define != nil {
		define(r)
	}
	e := r.engine(func(c *Config) { c.MemoryBudget = budget })
	seen := &evictions{}
	e.obs = seen
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e, seen
}

// loadedModels lists those that are ready.
func loadedModels(e *Engine) string {
	var list []string
	for _, s := range e.Models() {
		if s.State == Ready {
			list = append(list, s.Name)
		}
	}
	return strings.Join(list, " ")
}

func predicts(t *testing.T, e *Engine, model string) {
	t.Helper()
	if got, err := e.Predict(t.Context(), Request{Model: model, Image: plain(t, green, 9, 9)}); first(got) != "green" {
		t.Errorf("%s: got %q, %v", model, first(got), err)
	}
}

func TestModelsAreLoadedWhenUsedAndTheLeastRecentIsEvicted(t *testing.T) {
	e, seen := budgeted(t, 4, 2, nil)
	if got, want := states(e), "a/1:unloaded b/1:unloaded c/1:unloaded d/1:unloaded"; got != want {
		t.Fatalf("before any request: %s, want %s", got, want)
	}
	if why := e.Models()[0]; why.Reason != notUsedYet || why.Task == "" || why.Error != "" {
		t.Errorf("an unloaded model says %+v", why)
	}
	if reasons := e.Ready(); len(reasons) > 0 {
		t.Errorf("models that can be used make the server ready: %q", reasons)
	}
	for _, step := range []struct{ use, loaded string }{
		{"a", "a"}, {"b", "a b"}, {"a", "a b"}, {"c", "a c"}, {"c", "a c"}, {"d", "c d"}, {"a", "a d"},
	} {
		predicts(t, e, step.use)
		if got := loadedModels(e); got != step.loaded {
			t.Errorf("after a request for %s: %s are loaded, want %s", step.use, got, step.loaded)
		}
	}
	if got, want := seen.String(), "b room, a room, c room"; got != want {
		t.Errorf("evicted: %s, want %s", got, want)
	}
	if s := e.Models()[1]; s.State != Unloaded || !strings.Contains(s.Reason, "model c needed its memory") {
		t.Errorf("an evicted model says %s: %q", s.State, s.Reason)
	}
}

func TestKeptAndRequiredModelsStay(t *testing.T) {
	e, seen := budgeted(t, 4, 3, func(r *testRepository) { r.define("a", colors+"memory: {keep: true}\n") })
	if got := loadedModels(e); got != "a" {
		t.Fatalf("a kept model is loaded at start; loaded: %q", got)
	}
	for _, model := range []string{"b", "c", "d", "b"} {
		predicts(t, e, model)
	}
	if got := loadedModels(e); got != "a b d" {
		t.Errorf("loaded: %s; evicted: %s", got, seen)
	}
}

func TestModelThatCannotFitIsRefused(t *testing.T) {
	e, _ := budgeted(t, 2, 1, func(r *testRepository) { r.define("a", colors+"memory: {keep: true}\n") })
	_, err := e.Predict(t.Context(), Request{Model: "b", Image: plain(t, green, 9, 9)})
	if f, ok := errors.AsType[*apierror.Error](err); !ok || f.Code != apierror.NotReady {
		t.Errorf("got %v", err)
	}
	if s := e.Models()[1]; s.State != Failed || !strings.Contains(s.Error, "inference.memory_budget is") || s.Memory != 0 {
		t.Errorf("b: %s %q, %d bytes", s.State, s.Error, s.Memory)
	}
	predicts(t, e, "a")
}

func TestUnusedModelIsEvicted(t *testing.T) {
	r := newRepository(t).define("a", colors+"memory: {ttl: 1s}\n").add("a", 1, "colors").define("b", colors).add("b", 1, "colors")
	e := r.engine(nil)
	seen := &evictions{}
	e.obs = seen
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := loadedModels(e); got != "a b" {
		t.Fatalf("without a budget all models are loaded at start: %q", got)
	}
	until(t, "eviction", func() bool { return loadedModels(e) == "b" })
	if got := seen.String(); got != "a ttl" {
		t.Errorf("evicted: %s", got)
	}
	if err := e.Sync(t.Context()); err != nil || loadedModels(e) != "b" {
		t.Errorf("a sync loads what no request uses: %s, %v", loadedModels(e), err)
	}
	predicts(t, e, "a")
}

func TestModelInUseIsEvictedOnlyAfterItsAnswer(t *testing.T) {
	e, _ := budgeted(t, 2, 1, nil)
	predicts(t, e, "a")
	entered, answer := make(chan struct{}), make(chan struct{})
	e.mu.RLock()
	v := e.models["a"].served[0]
	e.mu.RUnlock()
	replaceRuns(v, func(_ context.Context, run func() error) error {
		close(entered)
		<-answer
		return run()
	})
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() { predicts(t, e, "a"); done.Store(true) })
	<-entered
	wg.Go(func() {
		predicts(t, e, "b")
		if !done.Load() {
			t.Error("b was loaded while a held its memory")
		}
	})
	until(t, "eviction of a", func() bool { return strings.Contains(states(e), "a/1:unloading") })
	close(answer)
	wg.Wait()
}

func TestRequestForAnAbsentModelEndsWithItsDeadline(t *testing.T) {
	e, _ := budgeted(t, 1, 1, nil)
	load := make(chan struct{})
	e.batchSizes = func(d onnx.Device, size, fixed int) []int {
		<-load
		return batchSizes(d, size, fixed)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.Predict(ctx, Request{Model: "a", Image: plain(t, green, 9, 9)})
	if f, ok := errors.AsType[*apierror.Error](err); !ok || f.Code != apierror.DeadlineExceeded || !strings.Contains(f.Message, "being loaded") {
		t.Errorf("got %v", err)
	}
	close(load)
	predicts(t, e, "a")
}

// TestRandomTrafficOverMoreModelsThanFit asks many models, of which a fifth fits, each of which has its own order of labels: no answer may
// be wrong or missing, the budget holds, and no memory stays reserved.
func TestRandomTrafficOverMoreModelsThanFit(t *testing.T) {
	const models, fit, clients, requests = 50, 10, 8, 15
	r := newRepository(t)
	orders := []string{"red\ngreen\nblue\n", "green\nblue\nred\n", "blue\nred\ngreen\n"}
	for i := range models {
		name := fmt.Sprintf("m%02d", i)
		r.define(name, colors).add(name, 1, "colors")
		r.write(name+"/labels.txt", []byte(orders[i%3]))
	}
	budget := fit * sizeOfColors(t)
	e := r.engine(func(c *Config) { c.MemoryBudget = config.Size(budget) })
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	inks := []color.Color{red, green, blue}
	images := make([][]byte, len(inks))
	for i, ink := range inks {
		images[i] = plain(t, ink, 8, 8)
	}
	var most atomic.Int64
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(c)))
			for range requests {
				m, ink := random.IntN(models), random.IntN(3)
				got, err := e.Predict(t.Context(), Request{Model: fmt.Sprintf("m%02d", m), Image: images[ink]})
				if want := strings.Fields(orders[m%3])[ink]; first(got) != want {
					t.Errorf("m%02d: got %q, want %q: %v", m, first(got), want, err)
				}
				var held int64
				for _, s := range e.Models() {
					held += s.Memory
				}
				most.Store(max(most.Load(), held))
			}
		})
	}
	wg.Wait()
	// The tensors of batches are counted when they are allocated, after the room for the weights was found.
	if slack := budget / fit * clients; most.Load() > budget+slack {
		t.Errorf("models held %d bytes, with a budget of %d", most.Load(), budget)
	}
	until(t, "rest", func() bool { return !strings.Contains(states(e), "loading") })
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, m := range e.models {
		if m.waiting != 0 || m.loads != nil || slices.ContainsFunc(m.versions, func(v *version) bool { return v.inUse.Load() != 0 || !v.is(Ready) }) {
			t.Errorf("%s is not at rest", m.name)
		}
	}
}

func TestNewVersionOfALoadedModelReplacesIt(t *testing.T) {
	budget := config.Size(2 * sizeOfColors(t))
	r := newRepository(t).define("a", colors).add("a", 1, "colors").define("b", colors).add("b", 1, "colors")
	e := r.synced(func(c *Config) { c.MemoryBudget = budget })
	predicts(t, e, "a")
	for _, name := range []string{"a", "b"} {
		r.add(name, 2, "colors")
	}
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "version 2", func() bool { return strings.Contains(states(e), "a/2:ready b/2:unloaded") })
	for _, model := range []string{"a", "b"} {
		if got, err := e.Predict(t.Context(), Request{Model: model, Image: plain(t, red, 8, 8)}); err != nil || got.Version != "2" {
			t.Errorf("%s: %+v, %v", model, got, err)
		}
	}
}

func TestLoadAndUnloadByRequestWithABudget(t *testing.T) {
	e, _ := budgeted(t, 2, 2, nil)
	if err := e.Load(t.Context(), "a"); err != nil || loadedModels(e) != "a" {
		t.Errorf("loaded: %q, %v", loadedModels(e), err)
	}
	if err := e.Unload("a"); err != nil {
		t.Fatal(err)
	}
	until(t, "unload", func() bool { return loadedModels(e) == "" })
	if _, err := e.Predict(t.Context(), Request{Model: "a", Image: plain(t, red, 8, 8)}); apierror.From(err).Code != apierror.NotReady {
		t.Errorf("a request loads what was unloaded by request: %v", err)
	}
	if err := e.Load(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	predicts(t, e, "a")
}

func TestModelsOfPipelinesStay(t *testing.T) {
	e, _ := budgeted(t, 3, 2, func(r *testRepository) {
		r.write("all/model.yaml", []byte("task: pipeline\nsteps: [{name: color, model: b}]\n"))
	})
	if got := loadedModels(e); got != "all b" {
		t.Fatalf("loaded at start: %q", got)
	}
	predicts(t, e, "a")
	predicts(t, e, "c")
	if got := loadedModels(e); got != "all b c" {
		t.Errorf("loaded: %q", got)
	}
	if response, err := e.Predict(t.Context(), Request{Model: "all", Image: plain(t, red, 8, 8)}); err != nil || len(response.Steps) != 1 {
		t.Errorf("%+v, %v", response, err)
	}
}
