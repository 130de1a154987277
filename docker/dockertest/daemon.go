package dockertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// enginePid is the PID file of the machine's own engine.
const enginePid = "/var/run/docker.pid"

// Daemon is a separate engine that a test can stop and restart. It shares only its programs with the machine's own engine, and
// does not change the machine's packet filter, so that containers are reached on published ports only. It requires root. The
// caller calls Close.
type Daemon struct {
	Host string // unix:///path

	program string
	path    string // $PATH for its child processes
	dir     string
	bridge  string // a network of the machine's own engine
	flags   []string
	process *exec.Cmd
	ended   chan error
}

// StartDaemon starts an engine with its files in a folder, whose path must be short enough for a socket's. The program is dockerd
// in $PATH, or else that of the running engine.
func StartDaemon(ctx context.Context, dir string, flags ...string) (*Daemon, error) {
	d := &Daemon{Host: "unix://" + filepath.Join(dir, "d.sock"), dir: dir, path: os.Getenv("PATH")}
	if err := d.find(); err != nil {
		return nil, err
	}
	configuration := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(configuration, []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	if err := d.connect(ctx); err != nil {
		return nil, err
	}
	d.flags = append([]string{
		"--config-file", configuration, "--host", d.Host, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--containerd-namespace", "fovea-test", "--containerd-plugins-namespace", "fovea-test-plugins",
		"--bridge", d.bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
	}, flags...)
	return d, d.Start(ctx)
}

// connect creates a bridge. An engine without one removes docker0, which belongs to the machine's own engine; so does one with
// its own address pools when it restarts.
func (d *Daemon) connect(ctx context.Context) error {
	name := fmt.Sprintf("fovea%x", time.Now().UnixNano()&0xFFFFFFFF) // a link's name has 15 characters at most
	out, err := command(ctx, "", "network", "create", "--opt", "com.docker.network.bridge.name="+name, name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a bridge: %w\n%s", err, out)
	}
	d.bridge = name
	return nil
}

func (d *Daemon) find() (err error) {
	if d.program, err = exec.LookPath("dockerd"); err == nil {
		return nil
	}
	pid, err := os.ReadFile(enginePid)
	if err != nil {
		return fmt.Errorf("no dockerd is on the path, and no engine runs: %w", err)
	}
	process := filepath.Join("/proc", strings.TrimSpace(string(pid)))
	if d.program, err = os.Readlink(filepath.Join(process, "exe")); err != nil {
		return err
	}
	environment, err := os.ReadFile(filepath.Join(process, "environ"))
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			d.path = path
		}
	}
	return err
}

// Start starts the engine and waits until it responds, as long as ctx allows.
func (d *Daemon) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.process = exec.CommandContext(context.WithoutCancel(ctx), d.program, d.flags...)
	d.process.Env = append(os.Environ(), "PATH="+d.path)
	d.process.Stdout, d.process.Stderr = log, log
	if err := d.process.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func(process *exec.Cmd, ended chan<- error) { ended <- process.Wait() }(d.process, d.ended)
	for {
		asked, cancel := context.WithTimeout(ctx, 5*time.Second)
		out, err := command(asked, d.Host, "version").CombinedOutput()
		cancel()
		if err == nil {
			return nil
		}
		select {
		case err := <-d.ended:
			d.process = nil
			return fmt.Errorf("the engine ended: %w; %s", err, d.lastLines())
		case <-ctx.Done():
			return fmt.Errorf("the engine does not answer: %w: %s; %s", ctx.Err(), out, d.lastLines())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop stops the engine with a signal and waits for its exit. SIGTERM also stops its containers, unless it was started with
// --live-restore.
func (d *Daemon) Stop(ctx context.Context, signal os.Signal) error {
	if err := d.process.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err := <-d.ended:
		d.process = nil
		if status := new(exec.ExitError); errors.As(err, &status) {
			return nil // with any status
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("the engine does not end: %w", ctx.Err())
	}
}

// Copy copies an image from the machine's own engine.
func (d *Daemon) Copy(ctx context.Context, image string) error {
	save, load := command(ctx, "", "save", image), command(ctx, d.Host, "load")
	out, err := save.StdoutPipe()
	if err != nil {
		return err
	}
	load.Stdin = out
	if err := save.Start(); err != nil {
		return err
	}
	text, err := load.CombinedOutput()
	_, _ = io.Copy(io.Discard, out) // so that save ends if load failed
	if err = errors.Join(err, save.Wait()); err != nil {
		return fmt.Errorf("copy image %s: %w\n%s", image, err, text)
	}
	return nil
}

// Close stops the engine and its containers, and removes its files.
func (d *Daemon) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if d.process != nil {
		if ids, err := command(ctx, d.Host, "ps", "--all", "--quiet").Output(); err == nil && len(ids) > 0 {
			errs = append(errs, command(ctx, d.Host, append([]string{"rm", "--force"}, strings.Fields(string(ids))...)...).Run())
		}
		errs = append(errs, command(ctx, d.Host, "network", "prune", "--force").Run(), d.Stop(ctx, syscall.SIGTERM))
	}
	errs = append(errs, command(ctx, "", "network", "rm", d.bridge).Run())
	return errors.Join(append(errs, d.unmount(), os.RemoveAll(d.dir))...)
}

// unmount unmounts what the engine left mounted, such as a bind mount of its folder.
func (d *Daemon) unmount() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			err = errors.Join(err, syscall.Unmount(fields[1], syscall.MNT_DETACH))
		}
	}
	return err
}

func (d *Daemon) lastLines() string {
	log, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return "the end of its log:\n" + string(log[max(0, len(log)-2000):])
}
