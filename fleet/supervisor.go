package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fovea/fleet/gateway"
	"fovea/gpu"
	"fovea/internal/access"
	"fovea/internal/httpserver"
	"fovea/internal/tracing"
)

const (
	tickInterval = 100 * time.Millisecond // interval of the state machine's steps
	saveRetry    = 5 * time.Second
	closingLimit = 30 * time.Second // for requests in flight when the supervisor stops
	inboxSize    = 256
)

// GPUs is the NVIDIA driver. *gpu.NVML implements it.
type GPUs interface {
	Inventory(ctx context.Context) (gpu.Inventory, error)
	Watch(ctx context.Context) <-chan gpu.Event
}

// Dependencies are what the caller provides to a supervisor.
type Dependencies struct {
	Engine   ContainerEngine
	GPUs     GPUs            // nil for a fleet on the CPU
	Listener net.Listener    // of the gateway; nil: listen on gateway.address
	GRPC     net.Listener    // of the gateway for gRPC; nil: listen on gateway.grpc.address. It requires that key
	Tracer   *tracing.Tracer // of the gateway; nil: no traces
	Reload   func() (Config, error)
	Log      *slog.Logger
}

// Supervisor runs a fleet. Create it with Open and call Run once.
type Supervisor struct {
	cfg        Config
	deps       Dependencies
	log        *slog.Logger
	containers containerActions
	prober     *prober
	gateway    *gateway.Gateway
	machine    *machine
	store      *store
	unlock     []func()
	start      time.Time
	address    string // of the gateway

	grpcAddress string // of the gateway; empty: no gRPC

	inbox    chan observation
	commands chan func()
	saved    chan error
	work     sync.WaitGroup

	startServing  func()            // makes the gateway serve; nil once called
	serving       []gateway.Replica // backends set last
	trafficReadAt time.Duration     // when the gateway's counters were read last
	saving        bool
	saveDue       time.Duration
	saveErr       error // why the state could not be saved
}

// Open takes the locks, loads the saved state, and looks up the image and the GPUs. It changes nothing yet. Errors:
// ErrRunning; a missing image, if no replica was ever created; missing GPUs; errors of the Docker engine and the driver.
func Open(ctx context.Context, cfg Config, deps Dependencies) (_ *Supervisor, err error) {
	s := &Supervisor{
		cfg: cfg, deps: deps, log: deps.Log, containers: containerActions{deps.Engine, cfg.Name}, store: newStore(cfg.State), start: time.Now(),
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
	unlock, err := lockName(ctx, deps.Engine, cfg.Name)
	if err != nil {
		return nil, err
	}
	s.unlock = append(s.unlock, unlock)
	saved, err := s.store.load()
	if err != nil {
		return nil, err
	}
	if err := s.wanted(ctx, &saved); err != nil {
		return nil, err
	}
	placements, err := s.placements(ctx, saved)
	if err != nil {
		return nil, err
	}
	s.prober = newProber(cfg.Health.Timeout)
	if s.gateway, err = gateway.New(cfg.Gateway.Config, s.log); err != nil {
		return nil, err
	}
	s.gateway.Trace(deps.Tracer)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // G404: it only spreads pauses
	s.machine = newMachine(cfg, placements, saved, s.log, random)
	return s, nil
}

func (s *Supervisor) release() {
	for _, unlock := range s.unlock {
		unlock()
	}
}

// wanted applies the configured deployment to the saved state. If the image is missing, the previous deployment stays.
func (s *Supervisor) wanted(ctx context.Context, saved *persistentState) error {
	d, err := s.deployment(ctx, s.cfg)
	switch {
	case err == nil:
		saved.setWanted(d)
	case saved.Active == nil:
		return err
	default:
		s.log.Error("configured image unavailable; keeping the previous deployment", "error", err.Error())
	}
	return nil
}

func (s *Supervisor) deployment(ctx context.Context, cfg Config) (Deployment, error) {
	image, err := s.deps.Engine.ImageInfo(ctx, cfg.Image)
	if err != nil {
		return Deployment{}, fmt.Errorf("image: %w", err)
	}
	if err := image.Check(); err != nil {
		return Deployment{}, fmt.Errorf("image: %s: %w", cfg.Image, err)
	}
	return NewDeployment(cfg, image)
}

func (s *Supervisor) placements(ctx context.Context, saved persistentState) ([]Placement, error) {
	if s.cfg.GPUs.None() {
		return cpuPlacements(s.cfg.Replicas), nil
	}
	if s.deps.GPUs == nil {
		return nil, errors.New("gpus: no NVIDIA driver found")
	}
	found, err := s.deps.GPUs.Inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("gpus: %w", err)
	}
	return gpuPlacements(s.cfg, found.Devices, saved)
}

// Run supervises until the context ends, leaving the replicas running for the next supervisor, or until the down
// command has stopped them. It returns nil in both cases.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.release()
	control, err := listenUnix(ctx, s.cfg.Socket)
	if err != nil {
		return err
	}
	listeners, err := s.listen(ctx)
	if err != nil {
		return errors.Join(err, control.Close())
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 3)
	api := s.controlServer(working)
	s.work.Go(func() { ended <- httpserver.Serve(api, control) })
	s.work.Go(func() { s.watchEngine(working) })
	if s.deps.GPUs != nil && !s.cfg.GPUs.None() {
		s.work.Go(func() { s.watchGPUs(working) })
		s.work.Go(func() { s.pollGPUs(working) })
	}
	for _, address := range []string{s.address, s.grpcAddress} {
		if risk := access.Risk(address, s.cfg.Gateway.Access, s.cfg.Gateway.TLS); risk != "" {
			s.log.Warn(risk, "address", address)
		}
	}
	s.log.Info("supervisor ready", "gateway", s.address, "grpc", s.grpcAddress, "socket", s.cfg.Socket, "replicas", len(s.machine.placements))
	s.startServing = func() {
		s.work.Go(func() { ended <- s.gateway.Serve(listeners[0]) })
		for _, l := range listeners[1:] {
			s.work.Go(func() { ended <- s.gateway.ServeGRPC(l) })
		}
	}
	err = s.loop(working, ended)
	if s.startServing != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingLimit)
	defer cancel()
	err = errors.Join(err, s.gateway.Shutdown(closing))
	stop()
	endControl(api)
	s.work.Wait()
	return errors.Join(err, s.saveFinal())
}

// listen returns the gateway's listeners: for HTTP, and if it is configured, for gRPC.
func (s *Supervisor) listen(ctx context.Context) (listeners []net.Listener, err error) {
	add := func(key, address string, given net.Listener) string {
		if given == nil && err == nil {
			if given, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
		}
		if given == nil {
			return ""
		}
		listeners = append(listeners, given)
		return given.Addr().String()
	}
	s.address = add("gateway.address", s.cfg.Gateway.Address, s.deps.Listener)
	switch address := s.cfg.Gateway.GRPC.Address; {
	case address != "":
		s.grpcAddress = add("gateway.grpc.address", address, s.deps.GRPC)
	case s.deps.GRPC != nil:
		err = errors.Join(err, errors.New("gateway.grpc.address: is required with a socket for gRPC"), s.deps.GRPC.Close())
	}
	if err == nil {
		return listeners, nil
	}
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return nil, err
}

// loop feeds the state machine and performs its actions.
func (s *Supervisor) loop(ctx context.Context, ended <-chan error) error {
	ticker := time.NewTicker(tickInterval)
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
			s.saveDone(err)
		}
		s.step(ctx, seen)
		if s.machine.done() {
			s.log.Info("fleet stopped")
			if err := s.deps.Engine.RemoveNetwork(ctx, s.cfg.network(), s.cfg.Name); err != nil {
				s.log.Warn("cannot remove the fleet's network", "error", err.Error())
			}
			return nil
		}
	}
}

func (s *Supervisor) now() time.Duration { return time.Since(s.start) } // monotonic: wall-clock jumps have no effect

func (s *Supervisor) step(ctx context.Context, seen []observation) {
	for range len(s.inbox) {
		seen = append(seen, <-s.inbox)
	}
	if s.now()-s.trafficReadAt >= trafficEvery {
		s.trafficReadAt = s.now()
		seen = append(seen, traffic{s.gateway.Balancer().Status()})
	}
	actions := s.machine.step(s.now(), seen...)
	s.updateGateway()
	if s.startServing != nil && (s.machine.adoptedProbed() || s.now() >= s.machine.cfg.Health.Timeout) {
		s.startServing()
		s.startServing = nil
	}
	for _, a := range actions {
		s.work.Go(func() { s.post(ctx, a.perform(ctx, s)) })
	}
	s.save()
}

// updateGateway sets the gateway's backends if they have changed. It comes before the actions of the same step.
func (s *Supervisor) updateGateway() {
	list := []gateway.Replica{}
	for _, r := range s.machine.serving() {
		list = append(list, gateway.Replica{ID: r.id, URL: r.url, GRPC: r.grpc})
	}
	if slices.Equal(list, s.serving) {
		return
	}
	if err := s.gateway.Balancer().Set(list); err != nil {
		s.log.Error("gateway rejected the list of backends", "error", err.Error())
	}
	s.serving = list
}
