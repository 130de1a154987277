package inference

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// shared is what all versions use.
type shared struct {
	ctx    context.Context // of all loads and runs: its end ends them
	cfg    Config
	device onnx.Device // of models that name none
	limits header.Limits
	cores  *cores
	obs    Observer
	log    *slog.Logger
	lost   func(error) // told of each failed run
}

// version is one version of one model, from the try to load it until it is gone. What load sets is not
// changed afterwards and is read only once the version is ready.
type version struct {
	shared  *shared
	model   string
	number  int
	name    string // the number as requests and answers write it
	entry   *repository.Entry
	weights repository.Version
	look    string         // see models.Entry.Fingerprint
	refs    sync.WaitGroup // requests in flight; added to under the engine's mutex while the version is served

	done  chan struct{} // closed when the try to load it is over, however it went
	ended chan struct{} // closed when nothing of that try computes any more
	took  time.Duration // the try; guarded by mu

	loading context.Context         // of the try: its end ends it
	stop    context.CancelCauseFunc // ends it

	mu      sync.Mutex
	state   State
	err     error
	changed time.Time

	file       *onnx.File            // what the ONNX file declares
	definition repository.Definition // resolved against the ONNX file
	inputs     []repository.TensorInfo
	outputs    []repository.TensorInfo
	image      int // index of the image input
	extras     []extra
	plan       *preprocess.Plan
	device     string             // the devices of the sessions, such as "cuda:0 cuda:1"
	partlyCPU  bool               // a session on CUDA leaves parts of the model to the CPU
	saturating bool               // sums of int8 products may be cut off at 16 bits
	found      repository.Weights // what was found of the weights when they were looked at
	decoder    postprocess.Decoder
	warnings   []string  // what may be wrong with the definition
	discarding sync.Once // the first boxes that are discarded are told of in the log
	sessions   []*onnx.Session
	widening   *widening // since the load; nil before
	scheduler  *scheduler
	admission  admission
}

func newVersion(ctx context.Context, sh *shared, entry *repository.Entry, n repository.Version, look string) *version {
	ctx, stop := context.WithCancelCause(ctx)
	return &version{loading: ctx, stop: stop, shared: sh, model: entry.Definition.Name, number: n.Number, name: strconv.Itoa(n.Number),
		entry: entry, weights: n, look: look, definition: entry.Definition, done: make(chan struct{}), ended: make(chan struct{}),
		changed: time.Now()}
}

// become changes the state. The function it returns says so in the log; it is called without any mutex.
func (v *version) become(to State, err error) (say func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	from, since := v.state, time.Since(v.changed)
	v.state, v.err, v.changed = to, err, time.Now()
	log := v.shared.log.With("model", v.model, "version", v.name, "from", from.String(), "to", to.String(),
		"after", since.Round(time.Millisecond))
	switch {
	case errors.Is(err, errClosed), errors.Is(err, errUnwanted):
		return func() { log.Info("model state", "reason", err) }
	case err != nil:
		return func() { log.Error("model state", "error", err) }
	}
	return func() { log.Info("model state", "device", v.device) }
}

// now is the state, since when, and why it failed.
func (v *version) now() (state State, since time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.changed, v.err
}

// over says whether nothing of the try to load it computes any more.
func (v *version) over() bool {
	select {
	case <-v.ended:
		return true
	default:
		return false
	}
}

func (v *version) is(s State) bool {
	state, _, _ := v.now()
	return state == s
}

// ranBatch is told of each run.
func (v *version) ranBatch(r ran) {
	v.shared.obs.Batch(v.model, v.name, r.rows, r.padded)
	if errors.Is(r.err, errAbandoned) {
		v.shared.log.Warn("a run was ended: all its requests were past their deadline or cancelled", "model", v.model,
			"version", v.name, "after", r.took.Round(time.Millisecond))
	} else if r.err != nil {
		v.shared.lost(r.err)
	}
}

// close ends the instances and frees everything. No request may be in flight.
func (v *version) close() error {
	v.widening.end()
	var errs []error
	if v.scheduler != nil {
		errs = append(errs, v.scheduler.close())
	}
	for _, s := range v.sessions {
		errs = append(errs, s.Close())
	}
	v.scheduler, v.sessions = nil, nil
	return errors.Join(errs...)
}
