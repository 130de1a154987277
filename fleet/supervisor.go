package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
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
	address string // of the gateway

	inbox    chan observation
	commands chan func()
	saved    chan error
	work     sync.WaitGroup

	admit    func()            // begins to take requests; nil once it was called
	serving  []gateway.Replica // as told to the gateway last
	lookedAt time.Duration     // when it was seen last how requests end
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
	unlock, err := lockName(ctx, with.Engine, cfg.Name)
	if err != nil {
		return nil, err
	}
	s.unlock = append(s.unlock, unlock)
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
