package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fovea/api"
	"fovea/health"
	"fovea/inference"
	"fovea/internal/exitcode"
	"fovea/internal/httpserver"
	"fovea/internal/logging"
	"fovea/internal/repository"
)

// watchEvery is how often the server looks at its own state when nobody asks for it.
const watchEvery = time.Second

// firstLoads is how long a server that starts waits for models that are not required before it is ready without them.
const firstLoads = 5 * time.Second

var (
	errSecondSignal = errors.New("ended by a second signal before all was answered")
	errRequired     = errors.New("a required model cannot be served")
)

// service is a running server and what it is made of.
type service struct {
	cfg     Config
	log     *slog.Logger
	lines   *logging.Queue
	engine  *inference.Engine
	monitor *health.Monitor
	server  *api.Server
	gpus    *gpus

	signals chan os.Signal
	served  chan error // the end of the listener
	synced  chan error // the end of a look at the repository
	started chan error // the end of the first loads
	syncing bool
	again   bool             // another look was asked for during one
	told    map[string]error // what the last look found wrong
	address string           // that it listens on
}

// serve runs the server until a signal or ctx ends it. log writes to lines.
func serve(ctx context.Context, cfg Config, log *slog.Logger, lines *logging.Queue) error {
	s := &service{cfg: cfg, log: log, lines: lines, signals: make(chan os.Signal, 4), served: make(chan error, 1), synced: make(chan error, 1),
		started: make(chan error, 1)}
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(s.signals)
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.gpus.close(log)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Address)
	if err != nil {
		return errors.Join(fmt.Errorf("http.address: %w", err), s.closeEngine(time.Second))
	}
	s.address = listener.Addr().String()
	log.Info("listening", "address", s.address, "version", build().Version)
	go func() { s.served <- s.server.Serve(listener) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.monitor.Watch(ctx, watchEvery)
	broken := s.broken(ctx)
	s.sync(ctx)
	why := s.loop(ctx, broken)
	return errors.Join(why, s.drain())
}

// open makes everything that doesn't listen yet.
func (s *service) open(ctx context.Context) error {
	s.gpus = openGPUs(s.cfg.GPU, s.log)
	wanted, err := s.gpus.fits(ctx, s.cfg.Inference.Device, s.log)
	if err != nil {
		s.gpus.close(s.log)
		return err
	}
	s.cfg.Inference.Device = wanted
	metrics := api.NewMetrics(build(), append(s.gpus.collectors(), droppedLines(s.lines))...)
	engine, err := inference.New(s.cfg.Inference, repository.Open(s.cfg.Repository.Dir), observed(metrics), s.log)
	if err != nil {
		s.gpus.close(s.log)
		return fmt.Errorf("inference: %w", err)
	}
	s.engine = engine
	device, _ := engine.Device()
	s.monitor = health.New(engine, s.log, s.gpus.checks(device, engine.Touch)...)
	s.server = api.New(s.cfg.HTTP, engine, s.monitor, metrics, s.log)
	return nil
}

// loop waits for what ends the server: nil for a signal, else why it cannot go on. broken brings a fault that only a restart
// mends.
func (s *service) loop(ctx context.Context, broken <-chan error) error {
	var poll <-chan time.Time
	if s.cfg.Repository.Poll > 0 {
		ticker := time.NewTicker(s.cfg.Repository.Poll)
		defer ticker.Stop()
		poll = ticker.C
	}
	first := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.served:
			s.served <- nil
			return err
		case err := <-s.synced:
			if err := s.looked(ctx, err, first); err != nil {
				return err
			}
			first = false
		case err := <-s.started:
			if err := s.begin(err); err != nil {
				return err
			}
		case err := <-broken:
			return err
		case <-poll:
			s.sync(ctx)
		case sig := <-s.signals:
			if sig != syscall.SIGHUP {
				s.log.Info("shutting down", "signal", sig.String())
				return nil
			}
			s.log.Info("looking for new models", "signal", sig.String())
			s.sync(ctx)
		}
	}
}

// sync has the engine look at the repository. Looks never overlap; one asked for during another follows it.
func (s *service) sync(ctx context.Context) {
	if s.syncing {
		s.again = true
		return
	}
	s.syncing = true
	go func() { s.synced <- s.engine.Refresh(ctx) }()
}

// looked takes the end of a look. Only the first can end the server: later, what was loaded goes on.
func (s *service) looked(ctx context.Context, err error, first bool) error {
	s.syncing = false
	failures := &inference.SyncError{}
	if !errors.As(err, &failures) && err != nil {
		if first {
			return err
		}
		failures.Failures = []*inference.LoadError{{Err: err}}
	}
	s.tell(failures.Failures)
	if first {
		go func() { s.started <- s.awaitFirst(ctx) }()
	}
	if s.again {
		s.again = false
		s.sync(ctx)
	}
	return nil
}

// awaitFirst waits for the first loads: for those of required models as long as they take, for the others a moment.
func (s *service) awaitFirst(ctx context.Context) error {
	moment, cancel := context.WithTimeout(ctx, firstLoads)
	defer cancel()
	_ = s.engine.Await(moment, false) // what failed is told with the rest
	return s.engine.Await(ctx, true)
}

// begin takes the end of the first loads. A required model that failed ends the server.
func (s *service) begin(err error) error {
	failures := &inference.SyncError{}
	if errors.As(err, &failures) {
		if required := failures.Required(); len(required) > 0 {
			return requiredError(required)
		}
	}
	s.monitor.Loaded()
	s.greet()
	return nil
}

// tell logs what a look found wrong and the last one did not, and what can be read again. A version that fails logs that
// itself.
func (s *service) tell(failures []*inference.LoadError) {
	told := map[string]error{}
	for _, f := range failures {
		text := f.Error()
		if told[text] = f; s.told[text] != nil {
			continue
		}
		if errors.Is(f, repository.ErrUnreadable) {
			s.log.Warn("a part of the model repository cannot be read; what is served of it goes on", "error", text)
		} else {
			s.log.Warn("models are not served as the repository says", "error", text)
		}
	}
	for text, before := range s.told {
		if told[text] == nil && errors.Is(before, repository.ErrUnreadable) {
			s.log.Info("a part of the model repository can be read again, or something else is wrong with it now", "was", text)
		}
	}
	s.told = told
}

// greet says what to do next, once there is something to do.
func (s *service) greet() {
	address, err := httpserver.Reachable(s.address)
	if err == nil && s.monitor.Report().Ready() {
		s.log.Info("images are answered", "try", "curl --data-binary @IMAGE.jpg -H 'Content-Type: image/jpeg' http://"+address+"/predict")
	}
}

// requiredError tells of required models that failed. What cannot be read now may be readable after a restart.
func requiredError(failures []*inference.LoadError) error {
	errs, passing := []error{errRequired}, false
	for _, f := range failures {
		errs, passing = append(errs, f), passing || errors.Is(f, repository.ErrUnreadable)
	}
	err := errors.Join(errs...)
	if passing {
		return err
	}
	return exitcode.ForConfiguration(err)
}
