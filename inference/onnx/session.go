package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
)

// Options say how a session runs.
type Options struct {
	Device         Device      // from Pick; the zero Device is the CPU
	Threads        int         // within one operator on the CPU; 0 means 1. They wait without spinning
	SaturatingInt8 bool        // sums of int8 products may be cut off at 16 bits on the CPU (see Int8Saturates)
	CUDA           CUDAOptions // for a CUDA device
	Outputs        []string    // those that are fetched; nil means all. Others may be of any type
	File           *File       // what ReadFile found; nil: it is read again

	// Load ends the making of the session with its own end, where ONNX Runtime looks at that; nil: nothing does.
	Load context.Context
}

// Session is a model that is loaded on a device. Its methods may be called at the same time by several
// goroutines, and so may Run of different batches: on the CPU each then computes on its own thread over the
// same weights, on CUDA they follow each other in the session's one stream.
type Session struct {
	path    string
	options Options
	device  Device
	inputs  []Info
	outputs []Info

	exact     bool // exactInt8 is set
	inexact   bool // exactInt8 could not be set
	pageable  bool // batches are not pinned
	partlyCPU bool // on CUDA: parts of the model run on the CPU

	wide atomic.Pointer[ort.DynamicAdvancedSession] // on more threads; nil for none

	mu      sync.Mutex
	session *ort.DynamicAdvancedSession // nil once closed
	batches int                         // open
	probes  map[string][]rowForm        // what a probe run found, by the row shapes of the inputs
	sizes   map[int]bool                // batch sizes that ran on CUDA
}

// NewSession loads the ONNX file at path, with its external data files where it has any. The error names the
// file and what is wrong with it or with the device.
func NewSession(path string, o Options) (*Session, error) {
	s := &Session{path: path, options: o, device: o.Device, probes: map[string][]rowForm{}, sizes: map[int]bool{}}
	if s.device.Kind == "" {
		s.device.Kind = CPU
	}
	if err := s.load(o); err != nil {
		return nil, fmt.Errorf("load %s on %s: %w", path, s.device, err)
	}
	liveSessions.Add(1)
	native.Trim() // of what loading needed: 27 of 83 MB with a classifier of 19 MB
	return s, nil
}

func (s *Session) load(o Options) (err error) {
	if !ort.IsInitialized() {
		return errors.New("ONNX Runtime is not open")
	}
	if s.device.Kind != CPU && s.device.Kind != CUDA {
		return errors.New("a session runs on cpu or cuda; see Pick")
	}
	file := o.File
	if file == nil {
		if file, err = readFile(s.path); err != nil {
			return err
		}
	}
	if s.inputs, s.outputs, err = file.wanted(o.Outputs); err != nil {
		return err
	}
	if s.device.Kind == CUDA {
		s.pageable = o.CUDA.Pageable
		if err := errors.Join(o.CUDA.Validate(), checkCUDA(s.device)); err != nil {
			return err
		}
	}
	s.exact = !o.SaturatingInt8 && Int8Saturates()
	if err = s.start(o); err != nil && s.exact && strings.Contains(err.Error(), "Failed to find kernel") {
		s.exact, s.inexact = false, true // see exactInt8
		if s.start(o) == nil {
			return nil
		}
	}
	return explain(err)
}

// start makes the session of ONNX Runtime.
func (s *Session) start(o Options) (err error) {
	if s.device.Kind != CUDA {
		s.session, err = s.create(o, takeSharedArena)
		return err
	}
	sigaction.Preserve(func() { s.session, err = s.createCUDA(o) })
	if err != nil {
		return s.classify(err)
	}
	return nil
}

// InexactInt8 says that sums of int8 products may be cut off although Options did not allow it.
func (s *Session) InexactInt8() bool { return s.inexact }

// Widen makes RunWide run on threads within one operator, where that is more than Options.Threads. The model is loaded a
// second time for it, so its weights are then in memory twice: ONNX Runtime fixes the threads when a session is made,
// and sessions of several threads get less done where runs are side by side. Runs go on meanwhile, and the session may be closed.
// The end of ctx ends it as that of Options.Load does.
func (s *Session) Widen(ctx context.Context, threads int) error {
	if s.device.Kind != CPU || threads <= max(s.options.Threads, 1) {
		return nil
	}
	o := s.options
	o.Threads, o.Load = threads, ctx
	wide, err := s.create(o, widen)
	if err != nil {
		return fmt.Errorf("load %s with %d threads: %w", s.path, threads, err)
	}
	native.Trim()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil || s.wide.Load() != nil {
		return errors.Join(fmt.Errorf("load %s with %d threads: it is closed, or loaded so already", s.path, threads), wide.Destroy())
	}
	s.wide.Store(wide)
	liveSessions.Add(1)
	return nil
}

// widen lets threads spin while they wait for each other within a run, which has all cores to itself, and not after it.
func widen(options *ort.SessionOptions) error {
	return errors.Join(
		takeSharedArena(options),
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "1"),
		options.AddSessionConfigEntry("session.force_spinning_stop", "1"),
	)
}

// takeSharedArena has a session on the CPU compute in the arena that all such sessions share. Weights stay outside, so that
// those of a model that is unloaded leave no holes there.
func takeSharedArena(options *ort.SessionOptions) error {
	return errors.Join(
		options.AddSessionConfigEntry("session.use_env_allocators", "1"),
		options.AddSessionConfigEntry("session.use_device_allocator_for_initializers", "1"),
	)
}

// create makes a session of ONNX Runtime, with options of more beside those of all sessions.
func (s *Session) create(o Options, more func(*ort.SessionOptions) error) (*ort.DynamicAdvancedSession, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := configure(options, max(o.Threads, 1), ort.GraphOptimizationLevelEnableAll); err != nil {
		return nil, err
	}
	if s.exact {
		if err := options.AddSessionConfigEntry(exactInt8, "1"); err != nil {
			return nil, err
		}
	}
	if err := more(options); err != nil {
		return nil, err
	}
	if o.Load != nil && o.Load.Err() != nil {
		return nil, context.Cause(o.Load)
	}
	defer cancelLoad(o.Load, options)()
	return ort.NewDynamicAdvancedSession(s.path, namesOf(s.inputs), namesOf(s.outputs), options)
}

// configure sets what all sessions have in common. Threads that spin while they wait would take the cores from
// decoding. Memory patterns are plans for one set of shapes; with changing batch sizes they only cost, and on CUDA
// their memory grew with every new thread that ran a session (microsoft/onnxruntime#29351), as goroutines do.
func configure(options *ort.SessionOptions, threads int, level ort.GraphOptimizationLevel) error {
	return errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		options.SetExecutionMode(ort.ExecutionModeSequential),
		options.SetGraphOptimizationLevel(level),
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		options.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
		options.SetMemPattern(false),
	)
}

// Inputs are the model's inputs in the order of the file.
func (s *Session) Inputs() []Info { return slices.Clone(s.inputs) }

// Outputs are the outputs that are fetched, in the order of the file.
func (s *Session) Outputs() []Info { return slices.Clone(s.outputs) }

// Device is where the session runs.
func (s *Session) Device() Device { return s.device }

// PartlyCPU says that the session is on CUDA and leaves parts of the model to the CPU, since ONNX Runtime has no
// CUDA kernel for them, as for quantized convolutions.
func (s *Session) PartlyCPU() bool { return s.partlyCPU }

// Close frees the session. It is an error while batches of it are open, and does nothing the second time.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	if s.batches > 0 {
		return fmt.Errorf("close %s: %d batches are open", s.path, s.batches)
	}
	err := s.session.Destroy()
	if wide := s.wide.Swap(nil); wide != nil {
		err = errors.Join(err, wide.Destroy())
		liveSessions.Add(-1)
	}
	s.session = nil
	liveSessions.Add(-1)
	native.Trim()
	return err
}

// open counts a batch and returns the session to run it with.
func (s *Session) open() (*ort.DynamicAdvancedSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil, fmt.Errorf("%s is closed", s.path)
	}
	s.batches++
	return s.session, nil
}

func (s *Session) hasRun(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes[size]
}

func (s *Session) ran(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[size] = true
}

func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches--
}
