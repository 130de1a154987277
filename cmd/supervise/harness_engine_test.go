//go:build engine

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fovea/docker"
	"fovea/fleet"
	"fovea/internal/testenv"
)

// patience bounds every wait; no test passes because of it.
const patience = 2 * time.Minute

// program is the path of the built supervise.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "supervise")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "supervise")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// harness is a folder with a configuration for the built program, on a real engine. It cleans up after the test.
type harness struct {
	t       *testing.T
	program string
	dir     string
	name    string
	engine  *docker.Client
	client  *fleet.Client

	running *exec.Cmd
	ended   chan error
}

func newHarness(t *testing.T, particular string) *harness {
	t.Helper()
	engine, err := docker.Open(context.Background(), "")
	if err != nil {
		t.Fatalf("these tests need a Docker engine: %v", err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sup") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	r := &harness{t: t, program: path, dir: dir, name: "st" + filepath.Base(dir)[3:], engine: engine, client: fleet.NewClient(filepath.Join(dir, "s.sock"))}
	r.configure(particular)
	t.Cleanup(r.clean)
	return r
}

func (r *harness) configure(particular string) {
	r.t.Helper()
	image := os.Getenv("FOVEA_TEST_IMAGE")
	if image == "" {
		image = "fovea"
	}
	text := fmt.Sprintf("name: %s\nimage: %s\nsocket: s.sock\nstate: state\nlimits: {memory: 1GiB, cpus: 1}\nrollout: {monitor: 1s}\n%s\n", r.name, image, particular)
	if err := os.WriteFile(filepath.Join(r.dir, "supervise.yaml"), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// command returns a command of the program with a deadline.
func (r *harness) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	return exec.CommandContext(ctx, r.program, append(args, "--file", filepath.Join(r.dir, "supervise.yaml"))...)
}

// expect runs a command and checks its outcome and output.
func (r *harness) expect(good bool, words []string, args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if (err == nil) != good {
		r.t.Errorf("%v: %v\n%s", args, err, out)
	}
	for _, word := range words {
		if !strings.Contains(string(out), word) {
			r.t.Errorf("%v: %q is not in\n%s", args, word, out)
		}
	}
	return string(out)
}

// start starts the supervisor, with a listener passed as systemd does, and waits until a number of replicas are ready.
func (r *harness) start(ready int, listener *os.File) {
	r.t.Helper()
	r.running = exec.Command(r.program, "run", "--file", filepath.Join(r.dir, "supervise.yaml"))
	if listener != nil {
		// LISTEN_PID must be the receiving process: the shell replaces itself with it.
		r.running = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=gateway exec "$0" "$@"`}, r.running.Args...)...)
		r.running.ExtraFiles = []*os.File{listener}
	}
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.running.Stderr = log
	if err := r.running.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.ended = make(chan error, 1)
	go func(c *exec.Cmd, ended chan error) { ended <- c.Wait() }(r.running, r.ended)
	r.until(fmt.Sprintf("%d replicas are ready", ready), func(s fleet.Status) bool { return s.Ready == ready })
}

// stop stops the supervisor with SIGTERM; the replicas keep running.
func (r *harness) stop() {
	r.t.Helper()
	if err := r.running.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	r.gone()
}

// gone waits until the supervisor has exited.
func (r *harness) gone() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the supervisor exited with %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("the supervisor does not exit")
	}
	r.running = nil
}

func (r *harness) until(what string, ok func(fleet.Status) bool) fleet.Status {
	r.t.Helper()
	var s fleet.Status
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s, err = r.client.Status(context.Background()); err == nil && ok(s) {
			return s
		}
	}
	log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
	r.t.Fatalf("not %s; status %+v, error %v; log:\n%s", what, s, err, log)
	return s
}

// containers returns the IDs of the fleet's containers by name.
func (r *harness) containers() map[string]string {
	r.t.Helper()
	list, err := r.engine.List(context.Background(), map[string]string{docker.LabelOwner: r.name})
	if err != nil {
		r.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range list {
		ids[c.Name] = c.ID
	}
	return ids
}

func (r *harness) clean() {
	if r.running != nil {
		_ = r.running.Process.Kill()
		if err := <-r.ended; err == nil {
			r.t.Log("the supervisor had exited")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, id := range r.containers() {
		if err := r.engine.Remove(ctx, id); err != nil {
			r.t.Errorf("clean up: %v", err)
		}
	}
	if err := r.engine.RemoveNetwork(ctx, r.name, r.name); err != nil {
		r.t.Errorf("clean up: %v", err)
	}
	_ = r.engine.Close()
	_ = os.RemoveAll(r.dir)
}

// predict sends an image on a new connection.
func predict(t *testing.T, address string) error {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post("http://"+address+"/predict?top_k=1", "image/jpeg", strings.NewReader(string(testenv.Image(t, "coffee.jpg"))))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(string(body), "espresso")) {
		err = fmt.Errorf("%d: %s", response.StatusCode, body)
	}
	return err
}
