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

// enginePid is where the machine's own engine says which process it is.
const enginePid = "/var/run/docker.pid"

// Daemon is an engine of the test's own, that may be stopped and started again. It shares nothing with the machine's own
// engine but its programs, and leaves the machine's packet filter alone, so that containers are reached on published ports
// only. Needs root. Close it.
type Daemon struct {
	Host string // where it listens, as unix:///path

	program string
	path    string // the variable, for what it starts itself
	dir     string
	bridge  string // a network of the machine's own engine
	flags   []string
	process *exec.Cmd
	ended   chan error
}

// StartDaemon starts an engine whose files are in a folder; the path is to be short, as a socket's must be. The program
// is the dockerd on the path, or else that of the engine which runs.
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

// connect makes a bridge. An engine that is told to have none removes docker0, which is that of the machine's own engine;
// so does one with address pools of its own, when it starts again.
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

// Start starts the engine and waits until it answers, as long as ctx allows.
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

// Stop ends the engine by a signal and waits for it. SIGTERM ends its containers too, unless it was started with
// --live-restore.
func (d *Daemon) Stop(ctx context.Context, signal os.Signal) error {
	if err := d.process.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err := <-d.ended:
		d.process = nil
		if status := new(exec.ExitError); errors.As(err, &status) {
			return nil // With which status is the engine's business.
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("the engine does not end: %w", ctx.Err())
	}
}

// Copy takes an image over from the machine's own engine.
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
	_, _ = io.Copy(io.Discard, out) // so that save can end where load failed
	if err = errors.Join(err, save.Wait()); err != nil {
		return fmt.Errorf("copy image %s: %w\n%s", image, err, text)
	}
	return nil
}

// Close ends the engine, with its containers, and removes its files.
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

// unmount ends what the engine has left mounted, such as its folder over itself.
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

var _ io.Closer = (*Daemon)(nil)
