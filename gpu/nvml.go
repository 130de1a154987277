// Package gpu monitors the machine's NVIDIA GPUs through NVML: inventory and health, events, the minimum driver version, and
// which GPU a CUDA device number refers to. It is the only importer of go-nvml.
//
// On a machine without NVIDIA GPUs, Open returns ErrNoLibrary or ErrNoDriver. NVML calls run in per-device executors with a
// deadline, because the driver can block indefinitely when a GPU fails.
//
// go-nvml resolves NVML's functions on their first call: a program must be linked with lazy binding
// (-ldflags=-extldflags=-Wl,-z,lazy if that is not the C toolchain's default), and calling a function that an old library
// lacks would crash the process. Functions newer than driver 418 are therefore looked up first.
package gpu

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	defaultTimeout = 5 * time.Second
	// Without the persistence daemon the first client initializes every GPU, for a second or two each.
	defaultInitTimeout = 60 * time.Second
	defaultPoll        = 5 * time.Second
	eventWait          = 500 * time.Millisecond
)

// newer lists the functions that this package calls and old libraries lack.
var newer = []string{
	"nvmlSystemGetCudaDriverVersion_v2",
	"nvmlDeviceGetMemoryInfo_v2",
	"nvmlDeviceGetFieldValues",
	"nvmlDeviceGetMigMode",
	"nvmlDeviceGetMaxMigDeviceCount",
	"nvmlDeviceGetMigDeviceHandleByIndex",
	"nvmlDeviceGetGpuInstanceId",
	"nvmlDeviceGetComputeInstanceId",
}

// NVML is an open NVML library. Safe for concurrent use. Close it once per Open.
type NVML struct {
	api         nvml.Interface
	timeout     time.Duration // of one call, or of reading all values of one GPU
	poll        time.Duration // interval at which a watch polls every GPU
	initTimeout time.Duration
	has         map[string]bool
	system      *executor

	mu        sync.Mutex
	executors map[int]*executor // by index; those of watches have negative ones
	known     map[int]Device    // the last values of every GPU seen so far, since a lost one cannot be identified any more

	closing  context.Context
	close    context.CancelFunc
	watchers sync.WaitGroup
}

// Option changes a setting of Open. The options of the first Open apply while the library stays open.
type Option func(*NVML)

// WithPoll sets how often Watch polls every GPU besides waiting for events; default 5 s.
func WithPoll(d time.Duration) Option { return func(n *NVML) { n.poll = d } }

func newNVML(api nvml.Interface, options ...Option) *NVML {
	n := &NVML{
		api: api, timeout: defaultTimeout, poll: defaultPoll, initTimeout: defaultInitTimeout, system: newExecutor("NVML"),
		has: map[string]bool{}, executors: map[int]*executor{}, known: map[int]Device{},
	}
	for _, set := range options {
		set(n)
	}
	n.closing, n.close = context.WithCancel(context.Background())
	return n
}

// process is the process's only open library: go-nvml binds NVML's functions once per process.
var process struct {
	sync.Mutex
	library string
	open    *NVML
	users   int
	start   *executor // for initialization and shutdown; kept across Opens, since initialization may hang
}

// Open loads NVML from a file (searched for if its name has no slash; default libnvidia-ml.so.1) and initializes it. While it
// is open, further Opens of the same library share it. Errors: ErrNoLibrary, ErrNoDriver, ErrUnresponsive, or another of the
// driver's.
func Open(library string, options ...Option) (*NVML, error) {
	if library == "" {
		library = "libnvidia-ml.so.1"
	}
	process.Lock()
	defer process.Unlock()
	if process.users > 0 && process.library != library {
		return nil, fmt.Errorf("NVML is already open from %s; a process cannot open %s as well", process.library, library)
	}
	if process.users > 0 {
		process.users++
		return process.open, nil
	}
	if process.start == nil {
		process.start = newExecutor("NVML")
	}
	n := newNVML(nvml.New(nvml.WithLibraryPath(library)), options...)
	if err := n.initialize(process.start); err != nil {
		n.close()
		return nil, fmt.Errorf("open %s: %w", library, err)
	}
	process.library, process.open, process.users = library, n, 1
	return n, nil
}

func (n *NVML) initialize(start *executor) error {
	has, err := call(context.Background(), start, n.initTimeout, func() (map[string]bool, error) {
		if err := initError(n.api.Init()); err != nil {
			return nil, err
		}
		has := map[string]bool{}
		for _, name := range newer {
			has[name] = n.api.Extensions().LookupSymbol(name) == nil
		}
		return has, nil
	})
	n.has = has
	return err
}

// initError returns a status of Init as an error. go-nvml reports every failure to load the library as "library not found";
// the library itself does so if the driver's kernel module is missing or inaccessible.
func initError(status nvml.Return) error {
	switch status {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return ErrNoLibrary
	case nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_NO_PERMISSION, nvml.ERROR_GPU_NOT_FOUND:
		return fmt.Errorf("%w: %s", ErrNoDriver, statusTexts[status])
	}
	return check(status)
}

// Close undoes one Open. The last one ends all watches and shuts NVML down. If a call hangs then, the library stays
// initialized, because shutting it down during a call is unsafe, and Close returns ErrUnresponsive.
func (n *NVML) Close() error {
	process.Lock()
	defer process.Unlock()
	if process.open != n || process.users == 0 {
		return ErrClosed
	}
	process.users--
	if process.users > 0 {
		return nil
	}
	process.open = nil
	n.close()
	n.watchers.Wait()
	if n.hung() {
		return fmt.Errorf("NVML stays open: %w", ErrUnresponsive)
	}
	return run(context.Background(), process.start, n.initTimeout, func() error { return check(n.api.Shutdown()) })
}

// hung reports whether a call is still running after its deadline.
func (n *NVML) hung() bool {
	n.mu.Lock()
	executors := slices.AppendSeq([]*executor{n.system}, maps.Values(n.executors))
	n.mu.Unlock()
	for _, e := range executors {
		if err := run(context.Background(), e, n.timeout, func() error { return nil }); err != nil {
			return true
		}
	}
	return false
}

// watchExecutor adds an executor for a watch; done removes it unless a call hangs in it.
func (n *NVML) watchExecutor() (e *executor, done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := -1
	for n.executors[key] != nil {
		key--
	}
	e = newExecutor("NVML events")
	n.executors[key] = e
	return e, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !e.overdue() {
			delete(n.executors, key)
		}
	}
}

// executor returns the GPU's executor.
func (n *NVML) executor(index int) *executor {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.executors[index]
	if !ok {
		e = newExecutor(fmt.Sprintf("GPU %d", index))
		n.executors[index] = e
	}
	return e
}
