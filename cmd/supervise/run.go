package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"fovea/docker"
	"fovea/fleet"
	"fovea/gpu"
	"fovea/internal/logging"
	"fovea/internal/tracing"

	"github.com/spf13/cobra"
)

// firstInherited is the first file descriptor that systemd passes to a process.
const firstInherited = 3

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Supervise until SIGTERM; replicas keep running and are adopted by the next run",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			logging.SurviveSIGPIPE()
			cfg, err := configured(c)
			if err != nil {
				return err
			}
			reload := func() (fleet.Config, error) { return configured(c) }
			log, queue := logging.NewQueued(cfg.Log, c.ErrOrStderr())
			defer queue.Close()
			return supervise(c.Context(), cfg, reload, log)
		},
	}
}

// supervise opens the Docker engine and the driver and runs the fleet.
func supervise(ctx context.Context, cfg fleet.Config, reload func() (fleet.Config, error), log *slog.Logger) error {
	engine, err := openEngine(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer engine.Close()
	deps := fleet.Dependencies{Engine: engine, Reload: reload, Log: log}
	if deps.Listener, deps.GRPC, err = inherited(); err != nil {
		return err
	}
	if deps.Tracer, err = tracing.New(ctx, cfg.Traces, "fovea-gateway", version, log); err != nil {
		return err
	}
	defer deps.Tracer.Close()
	if !cfg.GPUs.None() {
		nvml, err := gpu.Open(cfg.GPU.Library, gpu.WithPoll(cfg.GPU.Poll))
		if err != nil {
			return fmt.Errorf("gpus: %w", err)
		}
		deps.GPUs = nvml
		defer func() {
			if err := nvml.Close(); err != nil {
				log.Warn("close NVML", "error", err.Error())
			}
		}()
	}
	s, err := fleet.Open(ctx, cfg, deps)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// enginePause is the wait between attempts to reach the Docker engine at startup.
const enginePause = 2 * time.Second

// openEngine waits for the Docker engine, which may start later than the supervisor.
func openEngine(ctx context.Context, cfg fleet.Config, log *slog.Logger) (*docker.Client, error) {
	timeouts := docker.Timeouts{Call: cfg.Engine.Timeout, Stop: cfg.Engine.Timeout}
	for logged := false; ; logged = true {
		engine, err := docker.Open(ctx, cfg.Engine.Host, docker.WithTimeouts(timeouts), docker.WithLogger(log))
		if err == nil || !errors.Is(err, docker.ErrUnreachable) && !errors.Is(err, docker.ErrTimeout) {
			return engine, err
		}
		if !logged {
			log.Warn("waiting for the Docker engine", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(enginePause):
		}
	}
}

// grpcSocket is the name of the socket for gRPC (FileDescriptorName= in systemd.socket(5)). Any other is the gateway's for HTTP.
const grpcSocket = "gateway-grpc"

// inherited returns the gateway's listeners that systemd passes, for HTTP and for gRPC; nil: none. systemd keeps them open while the
// supervisor restarts, so that clients wait and are not refused. See sd_listen_fds(3).
func inherited() (http, grpc net.Listener, err error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil, nil
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		listener, err := inheritedSocket(firstInherited + uintptr(i))
		if err != nil {
			return nil, nil, err
		}
		kind := &http
		if i < len(names) && names[i] == grpcSocket {
			kind = &grpc
		}
		if *kind != nil {
			return nil, nil, fmt.Errorf("LISTEN_FDS: got %d sockets named %s, want at most one for HTTP and one named %s", n, strings.Join(names, ", "), grpcSocket)
		}
		*kind = listener
	}
	return http, grpc, nil
}

func inheritedSocket(fd uintptr) (net.Listener, error) {
	file := os.NewFile(fd, "gateway")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("inherited socket: %w", err)
	}
	return listener, nil
}
