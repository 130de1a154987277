package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fovea/fleet/gateway"
	"fovea/gpu"
)

const (
	beat         = 100 * time.Millisecond // how often the machine is told the time
	saveRetry    = 5 * time.Second
	closingLimit = 30 * time.Second // for requests in flight when the supervisor ends
	inboxSize    = 256
)

// GPUs is the driver. *gpu.NVML is one.
type GPUs interface {
	Inventory(ctx context.Context) (gpu.Inventory, error)
	Watch(ctx context.Context) <-chan gpu.Event
}

// Surroundings is what a supervisor works with and does not make itself.
type Surroundings struct {
	Engine   Runtime
	GPUs     GPUs         // nil for a fleet on the CPU
	Listener net.Listener // of the gateway; nil: made at gateway.address
	Reload   func() (Config, error)
	Log      *slog.Logger
}

// Supervisor keeps a fleet. Make it with Open and let it Run once.
type Supervisor struct {
	cfg     Config
	with    Surroundings
	log     *slog.Logger
	hands   hands
	prober  *prober
	gateway *gateway.Gateway
	machine *machine
	store   *store
	unlock  []func()
	start   time.Time

	inbox    chan observation
	commands chan func()
	saved    chan error
	work     sync.WaitGroup
	removing sync.Map // IDs of containers without a place that are being removed

	admit    func()            // begins to take requests; nil once it was called
	serving  []gateway.Replica // as told to the gateway last
	saving   bool
	saveDue  time.Duration
	unstored error // why the state is not on the disk
}

// Open takes the locks, reads what was kept, asks for the image and the GPUs, and changes nothing yet. Errors: ErrRunning;
// an image that is missing where no replica was ever made; GPUs that are not there; what the engine or the driver say.
func Open(ctx context.Context, cfg Config, with Surroundings) (_ *Supervisor, err error) {
	s := &Supervisor{
		cfg: cfg, with: with, log: with.Log, hands: hands{with.Engine, cfg.Name}, store: newStore(cfg.State), start: time.Now(),
		inbox: make(chan observation, inboxSize), commands: make(chan func()), saved: make(chan error, 1),
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	for _, path := range []string{cfg.Socket + ".lock", filepath.Join(cfg.State, "lock")} {
		unlock, err := lock(path)
		if err != nil {
			return nil, err
		}
		s.unlock = append(s.unlock, unlock)
	}
	kept, err := s.store.load()
	if err != nil {
		return nil, err
	}
	if err := s.wanted(ctx, &kept); err != nil {
		return nil, err
	}
	places, err := s.places(ctx, kept)
	if err != nil {
		return nil, err
	}
	if s.prober, err = newProber(cfg.Health.Timeout); err != nil {
		return nil, err
	}
	s.gateway = gateway.New(cfg.Gateway.Config, s.log)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // G404: it only spreads pauses
	s.machine = newMachine(cfg, places, kept, s.log, random)
	return s, nil
}

func (s *Supervisor) release() {
	for _, unlock := range s.unlock {
		unlock()
	}
}

// wanted sets what the configuration asks for. When the image cannot be found but replicas are known from before, the
// supervisor starts all the same: those are served and kept.
func (s *Supervisor) wanted(ctx context.Context, kept *Kept) error {
	d, err := s.deployment(ctx, s.cfg)
	if err != nil && kept.Active == nil {
		return err
	}
	if err != nil {
		s.log.Error("the configured image cannot be used; what ran before goes on", "error", err.Error())
		return nil
	}
	kept.want(d)
	return nil
}

func (s *Supervisor) deployment(ctx context.Context, cfg Config) (Deployment, error) {
	image, err := s.with.Engine.ImageInfo(ctx, cfg.Image)
	if err != nil {
		return Deployment{}, fmt.Errorf("image: %w", err)
	}
	if err := image.Check(); err != nil {
		return Deployment{}, fmt.Errorf("image: %s: %w", cfg.Image, err)
	}
	return NewDeployment(cfg, image)
}

func (s *Supervisor) places(ctx context.Context, kept Kept) ([]Place, error) {
	if s.cfg.GPUs.None() {
		return cpuPlaces(s.cfg.Replicas), nil
	}
	if s.with.GPUs == nil {
		return nil, errors.New("gpus: there is no NVIDIA driver here")
	}
	found, err := s.with.GPUs.Inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("gpus: %w", err)
	}
	return gpuPlaces(s.cfg, found.Devices, kept)
}

// Run keeps the fleet until the context ends, and then leaves the replicas running for the next supervisor; or until it
// was told to stop them all. It returns nil in both cases.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.release()
	control, err := listenUnix(ctx, s.cfg.Socket)
	if err != nil {
		return err
	}
	listener := s.with.Listener
	if listener == nil {
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Gateway.Address); err != nil {
			return errors.Join(fmt.Errorf("gateway.address: %w", err), control.Close())
		}
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	api := s.controlServer(working)
	s.work.Go(func() { ended <- serveControl(api, control) })
	s.work.Go(func() { s.watchEngine(working) })
	if s.with.GPUs != nil && !s.cfg.GPUs.None() {
		s.work.Go(func() { s.watchGPUs(working) })
		s.work.Go(func() { s.pollGPUs(working) })
	}
	s.log.Info("supervising", "gateway", listener.Addr().String(), "socket", s.cfg.Socket, "replicas", len(s.machine.slots))
	s.admit = func() { s.work.Go(func() { ended <- s.gateway.Serve(listener) }) }
	err = s.loop(working, ended)
	if s.admit != nil {
		err = errors.Join(err, listener.Close())
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingLimit)
	defer cancel()
	err = errors.Join(err, s.gateway.Shutdown(closing))
	stop()
	endControl(api)
	s.work.Wait()
	return errors.Join(err, s.saveLast())
}

// loop gives the machine the time and what was seen, and does what it says.
func (s *Supervisor) loop(ctx context.Context, ended <-chan error) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		var seen []observation
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-ticker.C:
		case o := <-s.inbox:
			seen = append(seen, o)
		case command := <-s.commands:
			command()
		case err := <-s.saved:
			s.stored(err)
		}
		s.step(ctx, seen)
		if s.machine.done() {
			s.log.Info("the fleet is stopped")
			return nil
		}
	}
}

func (s *Supervisor) now() time.Duration { return time.Since(s.start) } // monotonic: a clock that jumps changes nothing

func (s *Supervisor) step(ctx context.Context, seen []observation) {
	for drained := false; !drained; {
		select {
		case o := <-s.inbox:
			seen = append(seen, o)
		default:
			drained = true
		}
	}
	actions := s.machine.step(s.now(), seen...)
	s.tellGateway()
	if s.admit != nil && (s.machine.settled() || s.now() >= s.machine.cfg.Health.Timeout) {
		s.admit()
		s.admit = nil
	}
	for _, a := range actions {
		s.work.Go(func() { s.perform(ctx, a) })
	}
	s.save()
}

// tellGateway says who gets requests, before anything else is done, if that has changed.
func (s *Supervisor) tellGateway() {
	list := []gateway.Replica{}
	for _, r := range s.machine.serving() {
		list = append(list, gateway.Replica{ID: r.id, URL: r.url})
	}
	if sameReplicas(list, s.serving) {
		return
	}
	if err := s.gateway.Pool().Set(list); err != nil {
		s.log.Error("the gateway refuses the list of replicas", "error", err.Error())
	}
	s.serving = list
}

// save writes what is to be kept, beside the loop: a disk that hangs or is full must not stop it.
func (s *Supervisor) save() {
	if !s.machine.dirty || s.saving || s.now() < s.saveDue || !s.machine.adopted {
		return
	}
	s.machine.dirty, s.saving = false, true
	kept := s.machine.kept()
	go func() { s.saved <- s.store.save(kept) }()
}

func (s *Supervisor) stored(err error) {
	s.saving = false
	if (err == nil) != (s.unstored == nil) {
		if err != nil {
			s.log.Error("the state cannot be kept; going on without", "error", err.Error())
		} else {
			s.log.Info("the state is kept again")
		}
	}
	s.unstored = err
	if err != nil {
		s.machine.dirty = true
		s.saveDue = s.now() + saveRetry
	}
}

// saveLast waits a little for a save under way and makes the last one.
func (s *Supervisor) saveLast() error {
	if s.saving {
		select {
		case err := <-s.saved:
			s.stored(err)
		case <-time.After(saveRetry):
			return errors.New("the state was not kept: the disk does not answer")
		}
	}
	if !s.machine.dirty || !s.machine.adopted {
		return nil
	}
	return s.store.save(s.machine.kept())
}

// endControl lets answers under way be sent; what still goes on then is cut off.
func endControl(api *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := api.Shutdown(ctx); err != nil {
		_ = api.Close() // Its listener is closed already.
	}
}

// listenUnix listens for the control API. The lock is held, so a socket that is there is nobody's.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return listener, nil
}
