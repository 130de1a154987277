// Package gpu knows the machine's NVIDIA GPUs through NVML: what there is and how it fares, whether the driver is new
// enough, what goes wrong, and which GPU a CUDA device number means. It is the only importer of go-nvml.
//
// A machine without NVIDIA is normal: Open then returns ErrNoLibrary or ErrNoDriver. Every NVML call has a deadline,
// because the driver can block for ever when a GPU dies.
//
// go-nvml leaves NVML's functions unresolved until each is first called: a program must be linked with lazy binding
// (-ldflags=-extldflags=-Wl,-z,lazy where the C toolchain says otherwise), and calling a function that an old library
// lacks would end the process. Functions newer than driver 418 are therefore looked up before use.
package gpu

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	defaultTimeout = 5 * time.Second
	// Without the persistence daemon the first client makes the driver start every GPU, about a second or two each.
	defaultInitTimeout = 60 * time.Second
	defaultPoll        = 5 * time.Second
	eventWait          = 500 * time.Millisecond
)

// newer lists the functions that old libraries lack and this package calls.
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
	poll        time.Duration // between two looks of a watch at every GPU
	initTimeout time.Duration
	has         map[string]bool
	system      *lane

	mu    sync.Mutex
	lanes map[int]*lane    // by index; those of watches below zero
	known map[int]identity // of every GPU seen so far: a lost one can no longer say its name

	closing  context.Context
	close    context.CancelFunc
	watchers sync.WaitGroup
}

// Option changes a setting of Open. Those of the first Open hold while the library stays open.
type Option func(*NVML)

// WithTimeout sets the deadline of one call; default 5 s.
func WithTimeout(d time.Duration) Option { return func(n *NVML) { n.timeout = d } }

// WithPoll sets how often Watch looks at every GPU beside waiting for events; default 5 s.
func WithPoll(d time.Duration) Option { return func(n *NVML) { n.poll = d } }

func newNVML(api nvml.Interface, options ...Option) *NVML {
	n := &NVML{
		api: api, timeout: defaultTimeout, poll: defaultPoll, initTimeout: defaultInitTimeout, system: newLane("NVML"),
		has: map[string]bool{}, lanes: map[int]*lane{}, known: map[int]identity{},
	}
	for _, set := range options {
		set(n)
	}
	n.closing, n.close = context.WithCancel(context.Background())
	return n
}

// process is the process's one open library: go-nvml binds NVML's functions once per process, to the first library.
var process struct {
	sync.Mutex
	library string
	open    *NVML
	users   int
	start   *lane // initialization and shutdown; kept over all, as an initialization may hang too
}

// Open loads NVML from the file named (a name without a slash is searched for; empty: libnvidia-ml.so.1) and
// initializes it. While it is open, further Opens of the same library share it. Errors: ErrNoLibrary, ErrNoDriver,
// ErrNotAnswering, or what else the driver says.
func Open(library string, options ...Option) (*NVML, error) {
	if library == "" {
		library = "libnvidia-ml.so.1"
	}
	process.Lock()
	defer process.Unlock()
	if process.users > 0 && process.library != library {
		return nil, fmt.Errorf("NVML is already open from %s; a process uses one library, not also %s", process.library, library)
	}
	if process.users > 0 {
		process.users++
		return process.open, nil
	}
	if process.start == nil {
		process.start = newLane("NVML")
	}
	n := newNVML(nvml.New(nvml.WithLibraryPath(library)), options...)
	if err := n.initialize(process.start); err != nil {
		n.close()
		return nil, fmt.Errorf("open %s: %w", library, err)
	}
	process.library, process.open, process.users = library, n, 1
	return n, nil
}

func (n *NVML) initialize(start *lane) error {
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

// initError says why NVML cannot start. go-nvml reports every failure to load the library as "library not found";
// the library itself says the same when the driver's kernel part is missing or out of reach.
func initError(status nvml.Return) error {
	switch status {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return ErrNoLibrary
	case nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_NO_PERMISSION, nvml.ERROR_GPU_NOT_FOUND:
		return fmt.Errorf("%w: %s", ErrNoDriver, statusTexts[status])
	}
	return check(status)
}

// Close gives up one Open. The last one ends all watches and shuts NVML down; if a call hangs then, the library stays
// as it is, because shutting it down under the call is not safe, and Close returns ErrNotAnswering.
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
	if n.silent() {
		return fmt.Errorf("NVML is left open: %w", ErrNotAnswering)
	}
	_, err := call(context.Background(), process.start, n.initTimeout, func() (struct{}, error) {
		return struct{}{}, check(n.api.Shutdown())
	})
	return err
}

// silent tells whether any call is still running; those within their deadline get it to finish.
func (n *NVML) silent() bool {
	n.mu.Lock()
	lanes := []*lane{n.system}
	for _, l := range n.lanes {
		lanes = append(lanes, l)
	}
	n.mu.Unlock()
	for _, l := range lanes {
		if _, err := call(context.Background(), l, n.timeout, func() (struct{}, error) { return struct{}{}, nil }); err != nil {
			return true
		}
	}
	return false
}

// watchLane makes a lane for a watch's calls; done gives it back unless a call hangs in it.
func (n *NVML) watchLane() (l *lane, done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := -1
	for n.lanes[key] != nil {
		key--
	}
	l = newLane("NVML events")
	n.lanes[key] = l
	return l, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !l.overdue() {
			delete(n.lanes, key)
		}
	}
}

// lane returns the lane of the GPU with an index.
func (n *NVML) lane(index int) *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.lanes[index]
	if !ok {
		l = newLane(fmt.Sprintf("GPU %d", index))
		n.lanes[index] = l
	}
	return l
}
