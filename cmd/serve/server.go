package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fovea/api"
	"fovea/api/v2grpc"
	"fovea/health"
	"fovea/inference"
	"fovea/internal/access"
	"fovea/internal/cgroup"
	"fovea/internal/cores"
	"fovea/internal/exitcode"
	"fovea/internal/httpserver"
	"fovea/internal/logging"
	"fovea/internal/repository"
	"fovea/internal/tracing"
	v2 "fovea/internal/v2"

	"github.com/prometheus/client_golang/prometheus"
)

// watchEvery is how often the server checks its own health between requests for it.
const watchEvery = time.Second

// firstLoads bounds how long models that are not required delay readiness at start.
const firstLoads = 5 * time.Second

var errSecondSignal = errors.New("aborted by a second signal while draining")

// service is a running server and its parts.
type service struct {
	cfg        Config
	repo       *repository.Repository
	log        *slog.Logger
	lines      *logging.Queue
	engine     *inference.Engine
	monitor    *health.Monitor
	server     *api.Server
	tracer     *tracing.Tracer
	grpc       *v2grpc.Server // nil: off
	gpus       *gpus
	protection *access.Protection

	signals chan os.Signal
	served  chan error // result of the listener
	// servedGRPC is the result of that for gRPC.
	servedGRPC chan error
	synced     chan error // result of a sync of the models
	started    chan error // result of the first loads
	syncing    bool
	syncAgain  bool                            // a sync was requested during one
	reported   map[string]*inference.LoadError // failures of the last sync, by reportKey
	address    string                          // the listener's
}

// serve runs the server until a signal or ctx ends it. log writes to lines.
func serve(ctx context.Context, cfg Config, repo *repository.Repository, log *slog.Logger, lines *logging.Queue) error {
	s := &service{cfg: cfg, repo: repo, log: log, lines: lines, signals: make(chan os.Signal, 4), served: make(chan error, 1), servedGRPC: make(chan error, 1), synced: make(chan error, 1),
		started: make(chan error, 1)}
	cores.AddProcessor()
	cgroup.LimitGo()
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(s.signals)
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.gpus.close(log)
	defer s.tracer.Close()
	listener, err := s.listen(ctx)
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return errors.Join(err, s.engine.Close(closing))
	}
	go func() { s.served <- s.server.Serve(listener) }()
	if err := s.listenGRPC(ctx); err != nil {
		return errors.Join(err, s.drain())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.protection.Watch(ctx)
	go s.monitor.Watch(ctx, watchEvery)
	s.startSync(ctx)
	err = s.loop(ctx)
	return errors.Join(err, s.drain())
}

// droppedLines counts the lines of the log that were dropped.
func droppedLines(dropped func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fovea_log_dropped_total",
		Help: "Log lines dropped because the reader of standard error is too slow or gone."},
		func() float64 { return float64(dropped()) })
}

// open makes everything but the listener.
func (s *service) open(ctx context.Context) (err error) {
	if s.protection, err = access.OpenProtection("http", s.cfg.HTTP.Access, s.cfg.HTTP.TLS, s.log); err != nil {
		return exitcode.ForConfiguration(err)
	}
	if s.tracer, err = tracing.New(ctx, s.cfg.Traces, "fovea", build().Version, s.log); err != nil {
		return err
	}
	s.gpus = openGPUs(s.cfg.GPU, s.log)
	wanted, err := s.gpus.checkDriver(ctx, s.cfg.Inference.Device, s.log)
	if err != nil {
		s.gpus.close(s.log)
		return err
	}
	s.cfg.Inference.Device = wanted
	metrics := api.NewMetrics(build(), append(s.gpus.collectors(), droppedLines(s.lines.Dropped))...)
	engine, err := inference.New(s.cfg.Inference, s.repo, observed(metrics), s.log)
	if err != nil {
		s.gpus.close(s.log)
		return fmt.Errorf("inference: %w", err)
	}
	s.engine = engine
	s.monitor = health.New(engine, s.log, s.gpus.checks(engine.Device(), engine.HealthCheck)...)
	s.server = api.New(s.cfg.HTTP, s.protection.Guard, engine, s.monitor, metrics, s.log)
	s.server.Trace(s.tracer)
	core := v2.New(engine, s.cfg.limitsV2(), s.cfg.V2.ServerName, build().Version)
	s.server.EnableV2(core)
	if s.cfg.GRPC.Address != "" {
		s.grpc = v2grpc.New(s.cfg.GRPC, v2grpc.Parts{Core: core, Guard: s.protection.Guard, Tracer: s.tracer, ClientShare: s.cfg.HTTP.ClientShare, Health: s.monitor, Admission: s.server.Admission(), Observer: metrics,
			BodyTimeout: s.cfg.HTTP.BodyTimeout, Log: s.log})
	}
	return nil
}

// loop runs until a signal (nil) or an error ends the server: also, unless shutdown.broken_after is 0, that long after a
// fault that requires a restart, or after it has lost its GPU and could not serve since.
func (s *service) loop(ctx context.Context) error {
	grace, broken := s.cfg.Shutdown.BrokenAfter, s.monitor.Broken()
	if grace == 0 {
		broken = nil
	}
	var poll, fatal, lost <-chan time.Time
	if grace > 0 {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		lost = ticker.C
	}
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
		case err := <-s.servedGRPC:
			s.servedGRPC <- nil
			return err
		case err := <-s.synced:
			if err := s.onSync(ctx, err, first); err != nil {
				return err
			}
			first = false
		case err := <-s.started:
			if err := s.onFirstLoads(err); err != nil {
				return err
			}
		case <-broken:
			s.log.Error("this fault requires a restart; exiting after shutdown.broken_after", "after", grace, "error", s.monitor.Err())
			broken, fatal = nil, time.After(grace)
		case <-lost:
			if s.monitor.LostFor() >= grace {
				return exitcode.ForRestart(fmt.Errorf("a restart is required: GPU lost for shutdown.broken_after (%s)", grace))
			}
		case <-fatal:
			return exitcode.ForRestart(fmt.Errorf("a restart is required: %w", s.monitor.Err()))
		case <-poll:
			s.startSync(ctx)
		case sig := <-s.signals:
			if sig != syscall.SIGHUP {
				s.log.Info("shutting down", "signal", sig.String())
				return nil
			}
			s.log.Info("syncing models", "signal", sig.String())
			s.startSync(ctx)
		}
	}
}

// startSync has the engine read the repository. Syncs never overlap; one requested during another follows it.
func (s *service) startSync(ctx context.Context) {
	if s.syncing {
		s.syncAgain = true
		return
	}
	s.syncing = true
	go func() { s.synced <- s.engine.StartSync(ctx) }()
}

// onSync handles the result of a sync. Only the first can end the server; later ones leave what is loaded.
func (s *service) onSync(ctx context.Context, err error, first bool) error {
	s.syncing = false
	failures := &inference.SyncError{}
	if !errors.As(err, &failures) && err != nil {
		if first {
			return err
		}
		failures.Failures = []*inference.LoadError{{Err: err}}
	}
	s.report(failures.Failures)
	if first {
		go func() { s.started <- s.awaitFirst(ctx) }()
	}
	if s.syncAgain {
		s.syncAgain = false
		s.startSync(ctx)
	}
	return nil
}

// awaitFirst waits for the first loads: without a limit for required models, for at most firstLoads for the others.
func (s *service) awaitFirst(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, firstLoads)
	defer cancel()
	_ = s.engine.Await(limited, false) // failures are reported by syncs
	return s.engine.Await(ctx, true)
}

// onFirstLoads handles the result of the first loads. A required model that failed ends the server.
func (s *service) onFirstLoads(err error) error {
	if failures, ok := errors.AsType[*inference.SyncError](err); ok && len(failures.Required()) > 0 {
		return requiredError(failures.Required())
	}
	s.monitor.Loaded()
	address, err := httpserver.Reachable(s.address)
	if err == nil && s.monitor.Report().Ready() {
		s.logReady(newReadiness(s.cfg.HTTP, address, s.engine.Default(), s.engine.Models()))
	}
	return nil
}

// report logs failures of a sync that the last one did not have, and models that are readable again. A version that
// fails to load logs that itself.
func (s *service) report(failures []*inference.LoadError) {
	reported := map[string]*inference.LoadError{}
	for _, f := range failures {
		key := reportKey(f)
		if reported[key] = f; s.reported[key] != nil {
			continue
		}
		message := "model not served as defined in the repository"
		if errors.Is(f, repository.ErrUnreadable) {
			message = "model repository unreadable in part; keeping what is loaded"
		}
		s.log.Warn(message, "error", f)
	}
	for key, before := range s.reported {
		if reported[key] == nil && errors.Is(before, repository.ErrUnreadable) {
			s.log.Info("model repository readable again", "was", before)
		}
	}
	s.reported = reported
}

// reportKey is equal for failures that are reported once. Why a model cannot be read may differ at each sync, so that
// it does not count.
func reportKey(f *inference.LoadError) string {
	if errors.Is(f, repository.ErrUnreadable) {
		return fmt.Sprintf("%s/%d unreadable", f.Model, f.Version)
	}
	return f.Error()
}

// requiredError lists required models that failed. Unreadable files are no configuration error: a restart may help.
func requiredError(failures []*inference.LoadError) error {
	errs, unreadable := []error{errors.New("a required model failed to load")}, false
	for _, f := range failures {
		errs, unreadable = append(errs, f), unreadable || errors.Is(f, repository.ErrUnreadable)
	}
	err := errors.Join(errs...)
	if unreadable {
		return err
	}
	return exitcode.ForConfiguration(err)
}
