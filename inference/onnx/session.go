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
	"fovea/internal/repository"
)

// Options configure a session.
type Options struct {
	Device         Device      // from Pick; the zero Device is the CPU
	Threads        int         // intra-op threads on the CPU; 0 means 1. They do not spin
	SaturatingInt8 bool        // allow sums of int8 products to saturate at 16 bits on the CPU (see Int8Saturates)
	ReducedInt8    bool        // int8 weights have 7 bits, whose sums cannot saturate
	CUDA           CUDAOptions // for a CUDA device
	Outputs        []string    // outputs that batches fetch; nil: all. Others may have any type
	FeedsOnly      bool        // inputs and outputs may have any type of tensors, and there are no batches, only feeds
	File           *File       // the result of ReadFile; nil: it is read again

	// Load cancels the creation of the session when it ends, at the points where ONNX Runtime checks for that; nil: never.
	Load context.Context

	EngineFailed func(rows int, err error) // is called when an engine fails (see Session.BuildEngine); nil: it is not

	shapes map[string][]int64 // fixed shapes of inputs
}

// Session is a model loaded on a device. Its methods may be called concurrently, and so may Run of different batches: on
// the CPU each run computes on its caller's thread and shares the weights; on CUDA runs are serialized on the session's
// one stream.
type Session struct {
	path    string
	options Options
	device  Device
	inputs  []Info
	outputs []Info

	exact     bool // exactInt8 is set
	inexact   bool // exactInt8 could not be set
	partlyCPU bool // on CUDA: parts of the model run on the CPU

	api         native.API
	fed         []string      // the graph's inputs
	fetched     []string      // the tensors of outputs
	names       *native.Names // of inputs and fetched tensors, for runs
	feedOutputs []Info        // the outputs of feeds
	feedFetched []string      // the tensors of feedOutputs
	feedNames   *native.Names // of inputs and feedFetched
	added       []string      // the tensors of outputs that are no outputs of the file's graph

	pixels *repository.Input // that the graph normalizes; nil: none

	parallel atomic.Pointer[runtimeSession]  // nil: none
	engines  atomic.Pointer[map[int]*engine] // by the rows of batches; nil: none

	layouts sync.Map // []rowLayout of the outputs, by the row shapes of the inputs

	mu      sync.Mutex
	session *runtimeSession // nil once closed
	batches int             // open
}

// NewSession loads the ONNX file at path and its external data files, if any. The error names the file and the problem
// with it or with the device.
func NewSession(path string, o Options) (*Session, error) {
	s := &Session{path: path, options: o, device: o.Device}
	if s.device.Kind == "" {
		s.device.Kind = CPU
	}
	if err := s.load(o); err != nil {
		return nil, fmt.Errorf("load %s on %s: %w", path, s.device, err)
	}
	s.names = native.NewNames(s.fed, s.fetched)
	s.feedNames = native.NewNames(s.fed, s.feedFetched)
	liveObjects.Add(1)
	native.Trim() // memory used only while loading: 27 of 83 MB with a classifier of 19 MB
	return s, nil
}

func (s *Session) load(o Options) (err error) {
	if !ort.IsInitialized() {
		return errNotOpen
	}
	if s.device.Kind != CPU && s.device.Kind != CUDA {
		return errors.New("a session needs the device cpu or cuda; see Pick")
	}
	lib, _ := openLibrary()
	if lib == nil {
		return errNotOpen
	}
	if s.api, err = lib.API(); err != nil {
		return err
	}
	file := o.File
	if file == nil {
		if file, err = readFile(s.path); err != nil {
			return err
		}
	}
	if err := s.choose(file, o); err != nil {
		return err
	}
	s.fed, s.pixels = file.fed(s.inputs), file.pixels
	s.fetched, _ = file.fetched(s.outputs)
	s.feedFetched, s.added = file.fetched(s.feedOutputs)
	if s.device.Kind == CUDA {
		if err := errors.Join(o.CUDA.Validate(), checkCUDA(s.device)); err != nil {
			return err
		}
	}
	s.exact = !o.SaturatingInt8 && !o.ReducedInt8 && Int8Saturates()
	if err = s.start(o); err != nil && s.exact && strings.Contains(err.Error(), "Failed to find kernel") {
		s.exact, s.inexact = false, true // see exactInt8
		if s.start(o) == nil {
			return nil
		}
	}
	return explain(err)
}

// choose chooses the inputs and outputs of batches and feeds.
func (s *Session) choose(file *File, o Options) (err error) {
	s.feedOutputs = file.Fetched()
	if o.FeedsOnly {
		s.inputs, s.outputs = slices.Clone(file.Inputs), s.feedOutputs
		return file.checkFeed()
	}
	if err = file.checkInputs(); err == nil {
		s.inputs, s.outputs, err = file.selectOutputs(o.Outputs)
	}
	return err
}

// start creates the ONNX Runtime session.
func (s *Session) start(o Options) (err error) {
	if s.device.Kind != CUDA {
		s.session, err = s.create(o, useArenas)
		return err
	}
	sigaction.Preserve(func() { s.session, err = s.createCUDA(o) })
	if err != nil {
		return s.classify(err)
	}
	return nil
}

// InexactInt8 reports whether sums of int8 products may saturate although Options did not allow it.
func (s *Session) InexactInt8() bool { return s.inexact }

// EnableParallel creates the parallel session: RunParallel then uses that many intra-op threads, if more than
// Options.Threads. It loads the model a second time, and the weights are then in memory twice: ONNX Runtime fixes the
// threads when a session is created, and multi-threaded sessions have less throughput when runs are concurrent. Runs
// continue meanwhile, and the session may be closed. ctx cancels it like Options.Load.
func (s *Session) EnableParallel(ctx context.Context, threads int) error {
	if s.device.Kind != CPU || threads <= max(s.options.Threads, 1) {
		return nil
	}
	o := s.options
	o.Threads, o.Load = threads, ctx
	parallel, err := s.create(o, spinDuringRuns)
	if err != nil {
		return fmt.Errorf("load %s with %d threads: %w", s.path, threads, err)
	}
	native.Trim()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil || s.parallel.Load() != nil {
		return errors.Join(fmt.Errorf("load %s with %d threads: the session is closed or already parallel", s.path, threads), parallel.Destroy())
	}
	s.parallel.Store(parallel)
	liveObjects.Add(1)
	return nil
}

// spinDuringRuns makes threads spin while they wait for each other during a run, which has all cores to itself, and stop
// when the run ends.
func spinDuringRuns(options *ort.SessionOptions) error {
	return errors.Join(
		useArenas(options),
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "1"),
		options.AddSessionConfigEntry("session.force_spinning_stop", "1"),
	)
}

// create creates an ONNX Runtime session with the options of all sessions and those that extend sets.
func (s *Session) create(o Options, extend func(*ort.SessionOptions) error) (*runtimeSession, error) {
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
	if err := extend(options); err != nil {
		return nil, err
	}
	if o.Load != nil && o.Load.Err() != nil {
		return nil, context.Cause(o.Load)
	}
	defer cancelLoad(o.Load, options)()
	session, err := s.newRuntimeSession(options, o.shapes)
	if err == nil {
		session.sequential = s.device.Kind == CPU && o.Threads <= 1
	}
	return session, err
}

// configure sets the options that all sessions share. Spinning threads would take cores from decoding. Memory patterns
// are allocation plans for one set of shapes: with changing batch sizes they only cost, and on CUDA their memory grew with
// every new thread that ran a session (microsoft/onnxruntime#29351), as happens with goroutines.
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

// Inputs returns the model's inputs in the order of the file.
func (s *Session) Inputs() []Info { return slices.Clone(s.inputs) }

// Outputs returns the outputs to fetch, in the order of the file.
func (s *Session) Outputs() []Info { return slices.Clone(s.outputs) }

// Device returns the device that the session runs on.
func (s *Session) Device() Device { return s.device }

// PartlyCPU reports whether a session on CUDA runs parts of the model on the CPU because ONNX Runtime has no CUDA kernel
// for them, such as quantized convolutions.
func (s *Session) PartlyCPU() bool { return s.partlyCPU }

// Close frees the session. It fails while batches of it are open. Calling it again does nothing.
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
	if parallel := s.parallel.Swap(nil); parallel != nil {
		err = errors.Join(err, parallel.Destroy())
		liveObjects.Add(-1)
	}
	if engines := s.engines.Swap(nil); engines != nil {
		for _, e := range *engines {
			err = errors.Join(err, e.destroy())
		}
	}
	s.names.Free()
	s.feedNames.Free()
	s.session = nil
	liveObjects.Add(-1)
	native.TrimArenas()
	native.Trim()
	return err
}

// open registers a batch and returns the session that runs it.
func (s *Session) open() (*runtimeSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil, fmt.Errorf("%s is closed", s.path)
	}
	s.batches++
	return s.session, nil
}

func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches--
}
