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
	"syscall"
	"time"

	"fovea/docker"
	"fovea/fleet"
	"fovea/gpu"

	"github.com/spf13/cobra"
)

var errUnwell = errors.New("not all is well: see above")

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check all that the fleet needs, before anything runs; each line is ok or says what to do",
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
			if _, err := os.Stat(file); err != nil {
				fmt.Fprintf(c.OutOrStdout(), "ok    configuration: %s does not exist; checking with the defaults\n", file)
			}
			return doctor(c.Context(), cfg, c.OutOrStdout())
		},
	}
}

func doctor(ctx context.Context, cfg fleet.Config, w io.Writer) error {
	driver, uuids, checks := gpuChecks(ctx, cfg)
	// The image's ID is not known before the engine answers; its name makes the same container.
	d, err := fleet.NewDeployment(cfg, docker.Image{ID: cfg.Image})
	if err != nil {
		return err
	}
	spec := d.Spec
	spec.Name = cfg.Name + "-doctor"
	spec.Labels = map[string]string{docker.LabelOwner: cfg.Name, docker.LabelReplica: "doctor"}
	spec.GPU.UUIDs = uuids
	timeouts := docker.Timeouts{Call: cfg.Engine.Timeout}
	checks = append(checks, docker.Doctor(ctx, cfg.Engine.Host, spec, driver.Version, docker.WithTimeouts(timeouts))...)
	checks = append(checks, gatewayCheck(ctx, cfg), folderCheck("folder of the state", cfg.State),
		folderCheck("folder of the socket", filepath.Dir(cfg.Socket)))
	if !cfg.GPUs.None() {
		checks = append(checks, cudaCheck(ctx, cfg, driver))
	}
	well := true
	for _, check := range checks {
		well = well && check.OK
		if check.OK {
			fmt.Fprintf(w, "ok    %s: %s\n", check.Name, check.Found)
		} else {
			fmt.Fprintf(w, "FAIL  %s: %s\n      to do: %s\n", check.Name, check.Found, check.Advice)
		}
	}
	if !well {
		return errUnwell
	}
	return nil
}

// gpuChecks looks at the GPUs, and tells which the fleet would use.
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
		return driver, nil, []docker.Check{failed("NVIDIA driver", err, "look at the kernel log for NVRM and Xid")}
	}
	checks = append(checks, docker.Check{Name: "NVIDIA driver", OK: true, Found: found.Driver.Version + ", CUDA " + found.Driver.CUDA})
	for _, d := range found.Devices {
		name := fmt.Sprintf("GPU %d", d.Index)
		if d.Err != nil {
			checks = append(checks, failed(name, d.Err, "do what its recovery action says; the fleet will not use it until then"))
			continue
		}
		checks = append(checks, docker.Check{Name: name, OK: true, Found: d.Name + " " + d.UUID})
	}
	uuids, err = fleet.Devices(cfg, found.Devices)
	if err != nil {
		checks = append(checks, failed("choice of GPUs", err, "mend the key gpus"))
	}
	return found.Driver, uuids, checks
}

func failed(name string, err error, advice string) docker.Check {
	return docker.Check{Name: name, Found: err.Error(), Advice: advice}
}

// cudaCheck compares the driver with what the image was built for.
func cudaCheck(ctx context.Context, cfg fleet.Config, driver gpu.Driver) docker.Check {
	const name = "driver for the image's CUDA"
	engine, err := docker.Open(ctx, cfg.Engine.Host, docker.WithTimeouts(docker.Timeouts{Call: cfg.Engine.Timeout}))
	if err != nil {
		return failed(name, err, "mend the engine first")
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
	return docker.Check{Name: name, OK: true, Found: driver.Version + " runs CUDA " + cuda}
}

// mayWrite is W_OK and X_OK of access(2): files may be made in a folder.
const mayWrite = 2 | 1

// folderCheck tells whether a folder, or the one that it is to be made in, can be written to.
func folderCheck(name, path string) docker.Check {
	at := path
	for at != filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		at = filepath.Dir(at)
	}
	if stat, err := os.Stat(at); err != nil || !stat.IsDir() {
		return failed(name, fmt.Errorf("%s is no folder that can be seen", at), "make it one, for the user of supervise")
	}
	if err := syscall.Access(at, mayWrite); err != nil {
		return failed(name, &os.PathError{Op: "write to", Path: at, Err: err}, "give it to the user of supervise, or choose another")
	}
	return docker.Check{Name: name, OK: true, Found: path + " can be written to"}
}

// gatewayCheck tells whether the gateway's address is free, or taken by the supervisor that runs.
func gatewayCheck(ctx context.Context, cfg fleet.Config) docker.Check {
	const name = "gateway's address"
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Gateway.Address)
	if err == nil {
		return docker.Check{Name: name, OK: listener.Close() == nil, Found: cfg.Gateway.Address + " is free"}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s, asked := fleet.NewClient(cfg.Socket).Status(ctx); asked == nil && s.Name == cfg.Name {
		return docker.Check{Name: name, OK: true, Found: cfg.Gateway.Address + " is the running supervisor's"}
	}
	return failed(name, err, "end what listens there, or set gateway.address")
}
