package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fovea/docker"
	"fovea/fleet"
	"fovea/gpu"
	"fovea/internal/cli"
	"fovea/internal/terminal"

	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything the fleet needs before it runs; each line is ok or says how to fix it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configuredOr(c, fs.ErrNotExist)
			if err != nil {
				return err
			}
			file, err := c.Flags().GetString("file")
			if err != nil {
				return err
			}
			if _, err := os.Stat(file); err != nil && !asJSON {
				fmt.Fprintf(c.OutOrStdout(), "ok    configuration: %s does not exist; checking with the defaults\n", file)
			}
			checks, err := doctor(c.Context(), cfg)
			if err != nil {
				return err
			}
			return showChecks(c.OutOrStdout(), checks, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// doctor checks what a fleet needs.
func doctor(ctx context.Context, cfg fleet.Config) ([]docker.Check, error) {
	driver, uuids, checks := gpuChecks(ctx, cfg)
	// The image's ID is unknown without the Docker engine; its name makes the same container.
	d, err := fleet.NewDeployment(cfg, docker.Image{ID: cfg.Image})
	if err != nil {
		return nil, err
	}
	spec := d.Spec
	spec.Name = cfg.Name + "-doctor"
	spec.Labels = map[string]string{docker.LabelOwner: cfg.Name, docker.LabelReplica: "doctor"}
	spec.GPU.UUIDs = uuids
	timeouts := docker.Timeouts{Call: cfg.Engine.Timeout}
	checks = append(checks, docker.Doctor(ctx, cfg.Engine.Host, spec, driver.Version, docker.WithTimeouts(timeouts))...)
	checks = append(checks, gatewayCheck(ctx, cfg, "gateway.address", cfg.Gateway.Address))
	if address := cfg.Gateway.GRPC.Address; address != "" {
		checks = append(checks, gatewayCheck(ctx, cfg, "gateway.grpc.address", address))
	}
	checks = append(checks, folderCheck("state folder", cfg.State), folderCheck("socket folder", filepath.Dir(cfg.Socket)))
	if !cfg.GPUs.None() {
		checks = append(checks, cudaCheck(ctx, cfg, driver))
	}
	return checks, nil
}

// checked is a check, as doctor prints it as JSON.
type checked struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// showChecks prints the checks. If some have failed, the error says how many.
func showChecks(w io.Writer, checks []docker.Check, asJSON bool) error {
	failures, list, paint := 0, []checked{}, terminal.PaintOf(w)
	for _, check := range checks {
		list = append(list, checked(check))
		style, word := terminal.Green, "ok  "
		if !check.OK {
			failures++
			style, word = terminal.Red, "FAIL"
		}
		if asJSON {
			continue
		}
		fmt.Fprintf(w, "%s  %s: %s\n", paint.In(style, word), check.Name, check.Found)
		if !check.OK && check.Advice != "" {
			fmt.Fprintf(w, "      fix: %s\n", check.Advice)
		}
	}
	if asJSON {
		if err := cli.JSON(w, list); err != nil {
			return err
		}
	}
	switch failures {
	case 0:
		return nil
	case 1:
		return errors.New("1 check failed")
	}
	return fmt.Errorf("%d checks failed", failures)
}

// gpuChecks checks the GPUs and returns the UUIDs of those that the fleet would use.
func gpuChecks(ctx context.Context, cfg fleet.Config) (driver gpu.Driver, uuids []string, checks []docker.Check) {
	if cfg.GPUs.None() {
		return driver, nil, nil
	}
	nvml, err := gpu.Open(cfg.GPU.Library)
	if err != nil {
		return driver, nil, []docker.Check{failed("NVIDIA driver", err, "install NVIDIA's driver, or set gpus: none")}
	}
	defer nvml.Close()
	found, err := nvml.Inventory(ctx)
	if err != nil {
		return driver, nil, []docker.Check{failed("NVIDIA driver", err, "check the kernel log for NVRM and Xid")}
	}
	checks = append(checks, docker.Check{Name: "NVIDIA driver", OK: true, Found: found.Driver.Version + ", CUDA " + found.Driver.CUDA})
	for _, d := range found.Devices {
		name := fmt.Sprintf("GPU %d", d.Index)
		if d.Err != nil {
			checks = append(checks, failed(name, d.Err, "follow its recovery action; the fleet does not use it until then"))
			continue
		}
		checks = append(checks, docker.Check{Name: name, OK: true, Found: d.Name + " " + d.UUID})
	}
	uuids, err = fleet.Devices(cfg, found.Devices)
	if err != nil {
		checks = append(checks, failed("GPU selection", err, "correct the key gpus"))
	}
	return found.Driver, uuids, checks
}

func failed(name string, err error, advice string) docker.Check {
	return docker.Check{Name: name, Found: err.Error(), Advice: advice}
}

// cudaCheck compares the driver with the CUDA version that the image was built for.
func cudaCheck(ctx context.Context, cfg fleet.Config, driver gpu.Driver) docker.Check {
	const name = "driver for the image's CUDA version"
	engine, err := docker.Open(ctx, cfg.Engine.Host, docker.WithTimeouts(docker.Timeouts{Call: cfg.Engine.Timeout}))
	if err != nil {
		return failed(name, err, "see the check \"Docker engine\"")
	}
	defer engine.Close()
	image, err := engine.ImageInfo(ctx, cfg.Image)
	if err != nil {
		return failed(name, err, "build or pull the image")
	}
	cuda := image.Labels[docker.LabelCUDA]
	if cuda == "" {
		return docker.Check{Name: name, Found: "the image has no label " + docker.LabelCUDA + ": it is not built for CUDA", Advice: "use the CUDA image"}
	}
	if err := driver.Check(cuda); err != nil {
		return failed(name, err, "install a newer driver")
	}
	return docker.Check{Name: name, OK: true, Found: driver.Version + " supports CUDA " + cuda}
}

// mayWrite is W_OK and X_OK of access(2): permission to create files in a folder.
const mayWrite = 2 | 1

// folderCheck checks that a folder, or the parent that it would be created in, is writable.
func folderCheck(name, path string) docker.Check {
	at := path
	for at != filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		at = filepath.Dir(at)
	}
	if stat, err := os.Stat(at); err != nil || !stat.IsDir() {
		return failed(name, fmt.Errorf("%s is not an accessible folder", at), "make it a folder of supervise's user")
	}
	if err := syscall.Access(at, mayWrite); err != nil {
		return failed(name, &os.PathError{Op: "write to", Path: at, Err: err}, "make supervise's user its owner, or choose another folder")
	}
	return docker.Check{Name: name, OK: true, Found: path + " is writable"}
}

// gatewayCheck checks that an address of the gateway is free, or in use by the running supervisor.
func gatewayCheck(ctx context.Context, cfg fleet.Config, key, address string) docker.Check {
	name := strings.ReplaceAll(key, ".", " ")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		return docker.Check{Name: name, OK: listener.Close() == nil, Found: address + " is free"}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s, asked := fleet.NewClient(cfg.Socket).Status(ctx); asked == nil && s.Name == cfg.Name {
		return docker.Check{Name: name, OK: true, Found: address + " is in use by the running supervisor"}
	}
	return failed(name, err, "stop what listens there, or change "+key)
}
