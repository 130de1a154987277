//go:build engine

package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/docker"
)

// patience bounds every wait; no test passes because of it.
const patience = 2 * time.Minute

// harness is a fleet on a real engine, with its supervisor in a process.
type harness struct {
	t        *testing.T
	dir      string
	file     string
	name     string
	host     string // of the engine; empty: the default
	image    string
	engine   *docker.Client
	client   *Client
	listener *os.File // outlives the supervisor, as a systemd socket does; nil: it listens itself
	address  string
	grpc     string // the gateway's address for gRPC; empty: none
	child    *exec.Cmd
	ended    chan error
}

// usual is the configuration common to all tests: timeouts that do not matter to a test are too long to be reached on a
// busy machine.
const usual = `
name: %s
image: %s
socket: s.sock
state: state
gateway: {address: %q, response_timeout: 90s, grpc: {address: %q}}
log: {format: json}
`

// newHarness writes a configuration, and cleans up after the test.
func newHarness(t *testing.T, particular string) *harness {
	t.Helper()
	return newHarnessOn(t, "", testImage(), particular)
}

func newHarnessOn(t *testing.T, host, image, particular string) *harness {
	t.Helper()
	engine, err := docker.Open(context.Background(), host)
	if err != nil {
		t.Fatalf("these tests need a Docker engine: %v", err)
	}
	dir, err := os.MkdirTemp("", "fleet") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &harness{t: t, dir: dir, file: filepath.Join(dir, "supervise.yaml"), name: "ft" + strings.ToLower(filepath.Base(dir))[5:],
		host: host, image: image, engine: engine, address: listener.Addr().String()}
	_ = listener.Close() // The supervisor listens there.
	b.client = NewClient(filepath.Join(dir, "s.sock"))
	b.configure(particular)
	t.Cleanup(b.clean)
	return b
}

func (b *harness) configure(particular string) {
	b.t.Helper()
	text := fmt.Sprintf(usual, b.name, b.image, b.address, b.grpc) + particular + "\n"
	limits := "{memory: 1GiB, cpus: 1}"
	if figures() { // One replica carries all of the load while the other is down.
		limits = "{memory: 1GiB, cpus: 2}"
	}
	for key, value := range map[string]string{"limits": limits, "health": "{timeout: 30s}"} {
		if !strings.Contains(particular, key+":") {
			text += key + ": " + value + "\n"
		}
	}
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// hold listens at the gateway's address for supervisors to inherit.
func (b *harness) hold() {
	b.t.Helper()
	listener, err := net.Listen("tcp", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.listener, err = listener.(*net.TCPListener).File(); err != nil {
		b.t.Fatal(err)
	}
	_ = listener.Close() // The file keeps it open.
}

// command returns the documented command of the supervisor, with the inherited listener passed as systemd does.
func (b *harness) command() *exec.Cmd {
	if b.listener == nil {
		return exec.Command(program, "run", "-f", b.file)
	}
	c := exec.Command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" run -f "$1"`, program, b.file)
	c.ExtraFiles = []*os.File{b.listener}
	return c
}

// start starts a supervisor and waits until a number of replicas are ready.
func (b *harness) start(ready int) {
	b.t.Helper()
	b.run(b.command())
	b.until(fmt.Sprintf("%d replicas are ready", ready), func(s Status) bool { return s.Ready == ready })
}

func (b *harness) run(c *exec.Cmd) {
	b.t.Helper()
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.wait(c)
}

func (b *harness) wait(c *exec.Cmd) {
	b.child, b.ended = c, make(chan error, 1)
	go func(ended chan<- error) { ended <- c.Wait() }(b.ended)
}

// stop signals the supervisor and waits until it has exited.
func (b *harness) stop(signal syscall.Signal) {
	b.t.Helper()
	if err := b.child.Process.Signal(signal); err != nil {
		b.t.Fatal(err)
	}
	if err := b.exited(); signal == syscall.SIGTERM && err != nil {
		b.t.Errorf("the supervisor exited with %v", err)
	}
}

// exited waits until the supervisor has exited.
func (b *harness) exited() error {
	b.t.Helper()
	select {
	case err := <-b.ended:
		b.child = nil
		return err
	case <-time.After(patience):
		b.t.Fatal("the supervisor does not exit")
		return nil
	}
}

// until waits for a status.
func (b *harness) until(what string, ok func(Status) bool) Status {
	b.t.Helper()
	var s Status
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s, err = b.client.Status(context.Background()); err == nil && ok(s) {
			return s
		}
		if b.child != nil && len(b.ended) > 0 {
			break
		}
	}
	log, _ := os.ReadFile(b.log())
	lines := strings.Split(string(log), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, `"msg":"request"`) })
	b.t.Fatalf("not %s; status %+v, error %v; log:\n%s", what, s, err, strings.Join(lines, "\n"))
	return s
}

func (b *harness) status() Status {
	b.t.Helper()
	s, err := b.client.Status(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// containers returns the IDs of the fleet's containers by replica.
func (b *harness) containers() map[string]string {
	b.t.Helper()
	list, err := b.engine.List(context.Background(), map[string]string{docker.LabelOwner: b.name})
	if err != nil {
		b.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range list {
		ids[c.Labels[docker.LabelReplica]] = c.ID
	}
	return ids
}

// kill ends a replica's process with SIGKILL, as the kernel does.
func (b *harness) kill(placement string) {
	b.t.Helper()
	status, err := b.engine.Inspect(context.Background(), b.containers()[placement])
	if err != nil {
		b.t.Fatal(err)
	}
	if os.Getuid() == 0 && b.host == "" {
		err = syscall.Kill(status.Pid, syscall.SIGKILL) // immediately
	} else {
		err = b.engine.Kill(context.Background(), status.ID)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *harness) clean() {
	if b.child != nil {
		_ = b.child.Process.Kill()
		if err := <-b.ended; err == nil {
			b.t.Log("the supervisor had exited")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, id := range b.containers() {
		if err := b.engine.Remove(ctx, id); err != nil {
			b.t.Errorf("clean up: %v", err)
		}
	}
	if err := b.engine.RemoveNetwork(ctx, b.name, b.name); err != nil {
		b.t.Errorf("clean up: %v", err)
	}
	_ = b.engine.Close()
	if b.listener != nil {
		_ = b.listener.Close()
	}
	_ = os.RemoveAll(b.dir)
}
