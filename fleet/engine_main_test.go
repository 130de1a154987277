//go:build engine

package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"fovea/docker"
	"fovea/gpu"
)

// childFile names, in a child process's environment, the configuration of the supervisor that it is to be.
const childFile = "FOVEA_FLEET_TEST_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(childFile); file != "" {
		if err := runChild(file); err != nil {
			fmt.Fprintln(os.Stderr, "supervise:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild is a supervisor whose gateway's listener is the process's fourth file, as systemd hands it over.
func runChild(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := Load(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	engine, err := docker.Open(ctx, cfg.Engine.Host, docker.WithTimeouts(docker.Timeouts{Call: cfg.Engine.Timeout, Watch: cfg.Engine.Timeout}), docker.WithLogger(log))
	if err != nil {
		return err
	}
	defer engine.Close()
	listener, err := net.FileListener(os.NewFile(3, "gateway"))
	if err != nil {
		return err
	}
	with := Surroundings{Engine: engine, Listener: listener, Log: log, Reload: func() (Config, error) { return Load(file) }}
	if !cfg.GPUs.None() {
		nvml, err := gpu.Open(cfg.GPU.Library, gpu.WithPoll(cfg.GPU.Poll))
		if err != nil {
			return err
		}
		defer nvml.Close()
		with.GPUs = nvml
	}
	s, err := Open(ctx, cfg, with)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
