package inference

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// State is the state of a version.
type State uint8

// The states. A version goes Loading → Ready → Unloading, or Loading → Failed. One that is loaded when a request uses it is Unloaded before
// and after.
const (
	Loading   State = iota // its weights are loaded, its batches allocated and it is tested
	Ready                  // it serves requests
	Failed                 // it could not be loaded; see Status.Error
	Unloading              // it finishes the requests it has accepted
	Unloaded               // it is not in memory, and is loaded when a request uses it; see Status.Reason
)

// String is the state's name in responses, logs and metrics.
func (s State) String() string {
	return [...]string{Loading: "loading", Ready: "ready", Failed: "failed", Unloading: "unloading", Unloaded: "unloaded"}[s]
}

// shared is what all versions use.
type shared struct {
	ctx        context.Context // of all loads and runs: its end terminates them
	cfg        Config
	device     onnx.Device // of models that name none
	limits     header.Limits
	workers    *workers
	pixels     pixelBudget
	obs        Observer
	log        *slog.Logger
	onRunError func(error)
	reserve    func(context.Context, *version, deviceBytes) error
	grow       func(v *version, device string, bytes int64)
	batchSizes func(d onnx.Device, size, fixed int) []int
	newRunner  func(context.Context, *onnx.Session, onnx.BatchSpec) (batcher.Runner, error)
}

// version is one version of one model, from its load until it is unloaded. What load sets is not changed
// afterwards, and is read only once the version is ready.
type version struct {
	wantedVersion // what it is made from
	shared        *shared
	model         string
	name          string // the number as in requests and responses
	entry         *repository.Entry
	refs          sync.WaitGroup // requests in flight; added to with Engine.mu locked, while the version is served
	inUse         atomic.Int64   // the same, as a number
	used          atomic.Int64   // when the last of them ended, or it was loaded, in ns since 1970
	memory        deviceBytes    // guarded by Engine.mu

	loadReturned chan struct{} // closed when the load has succeeded, failed or been given up
	loadStopped  chan struct{} // closed when the load no longer computes

	loadCtx    context.Context // its end stops the load
	cancelLoad context.CancelCauseFunc

	base         bool          // it is not wanted, and served until a wanted one has passed the gate
	baseReturned chan struct{} // closed when a base is served or none can be

	mu         sync.Mutex
	state      State
	err        error
	changed    time.Time
	retry      time.Time   // when a version that failed may be retried
	gateResult *GateResult // nil: it was not judged

	file         *onnx.File              // what the ONNX file declares
	definition   repository.Definition   // resolved against the ONNX file
	declared     []repository.TensorInfo // the inputs in the ONNX file
	inputs       []repository.TensorInfo // of sessions: with normalize: graph, the image has elements of uint8
	outputs      []repository.TensorInfo
	image        int // index of the image input
	extras       []extra
	plan         *preprocess.Plan
	device       string             // the devices of the sessions, such as "cuda:0 cuda:1"
	partlyCPU    bool               // a session on CUDA leaves parts of the model to the CPU
	saturating   bool               // int8 sums may saturate at 16 bits
	weights      repository.Weights // the files and what they hold
	decoder      postprocess.Decoder
	warnings     []string  // what may be wrong with the definition
	doubts       []string  // of warnings; see postprocess.Findings
	logDiscarded sync.Once // of the first discarded boxes
	logAlone     sync.Once // of the first batch whose images ran one by one
	sessions     []*onnx.Session
	parallel     *parallelLoad // nil before the version is ready
	engines      *engineBuilds // of TensorRT; nil: it is on no device with it, or not ready
	batcher      *batcher.Batcher
	groups       []*batcher.Group
	queue        queue
	rowShapes    [][]int64 // of the inputs in batches; nil if tensors cannot be rows of these
	info         *Info     // what requests with tensors need to know
	stats        [requestKinds]statistics
}

func newVersion(ctx context.Context, sh *shared, entry *repository.Entry, w wantedVersion) *version {
	ctx, cancel := context.WithCancelCause(ctx)
	return &version{wantedVersion: w, loadCtx: ctx, cancelLoad: cancel, shared: sh, model: entry.Definition.Name, name: strconv.Itoa(w.Number), entry: entry,
		definition: entry.Definition, loadReturned: make(chan struct{}), loadStopped: make(chan struct{}), baseReturned: make(chan struct{}), changed: time.Now()}
}

// setState changes the state and returns how long the last one lasted.
func (v *version) setState(to State, err error) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	lasted := time.Since(v.changed)
	v.state, v.err, v.changed = to, err, time.Now()
	v.retry = v.changed.Add(max(minRetry, retryRatio*lasted))
	return lasted
}

// logLoad logs the result of the load.
func (v *version) logLoad(duration time.Duration, err error) {
	log := v.shared.log.With("model", v.model, "version", v.name, "after", duration.Round(time.Millisecond))
	refused, isRefused := errors.AsType[*GateError](err)
	switch {
	case err == nil && v.entry.Inferred != nil:
		log.Info("model loaded", "device", v.device, "definition", "inferred", "exporter", v.entry.Inferred.Exporter,
			"assumptions", len(v.entry.Inferred.Assumptions()))
	case err == nil:
		log.Info("model loaded", "device", v.device)
	case isRefused:
		log.Warn("version not taken: it did not pass its gate", append(refused.Result.attributes(), "reason", refused.Result.Reason, "error", refused.Error())...)
	case errors.Is(err, errClosed), errors.Is(err, errUnlisted):
		log.Info("model load stopped", "reason", err)
	default:
		panics.LogError(log, "model failed to load", err)
	}
}

// current is the state, and why it failed.
func (v *version) current() (State, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.err
}

// stopped reports whether the load no longer computes.
func (v *version) stopped() bool {
	select {
	case <-v.loadStopped:
		return true
	default:
		return false
	}
}

func (v *version) is(s State) bool {
	state, _ := v.current()
	return state == s
}

// onRun reports a run.
func (v *version) onRun(r batcher.Run) {
	v.shared.obs.Batch(v.model, v.name, r.Rows, r.Padding)
	if errors.Is(r.Err, batcher.ErrAbandoned) {
		v.shared.log.Warn("run terminated", "model", v.model, "version", v.name, "after", r.Duration.Round(time.Millisecond),
			"reason", r.Err)
	} else if r.Err != nil {
		v.shared.onRunError(r.Err)
	}
	if r.Alone {
		v.logAlone.Do(func() {
			v.shared.log.Warn("the model failed on a batch, whose images then ran one by one, which is slow; with batching.max_size: 1 "+
				"it would not", "model", v.model, "version", v.name, "images", r.Rows)
		})
	}
}

// close ends the instances and frees all sessions and batches. No request may be in flight.
func (v *version) close() error {
	v.parallel.stop()
	var errs []error
	if v.batcher != nil {
		errs = append(errs, v.batcher.Close())
	}
	for _, s := range v.sessions {
		errs = append(errs, s.Close())
	}
	v.batcher, v.groups, v.sessions = nil, nil, nil
	return errors.Join(errs...)
}
