//go:build image

package imagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// buildTime bounds one image build. OpenCV alone takes some minutes on two cores.
const buildTime = 40 * time.Minute

// build runs docker build in a folder and writes its output to w.
func build(w io.Writer, dir string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	args = append([]string{"build", "--progress=plain"}, args...)
	cmd := exec.CommandContext(ctx, "docker", append(args, dir)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		return fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, tail(out.String(), 60))
	}
	_, err = io.Copy(w, &out)
	return err
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// docker runs a Docker command and fails the test on an error.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryDocker(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryDocker(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return run(5*time.Minute, args...)
}

// run runs a Docker command with a time limit in the repository's root, and returns its standard output.
func run(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Dir = root()
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), tail(problems.String(), 60))
	}
	return strings.TrimSpace(out.String()), nil
}

// inspect decodes one object's description into a value.
func inspect(t *testing.T, name string, into any) {
	t.Helper()
	list := []json.RawMessage{}
	if err := json.Unmarshal([]byte(docker(t, "inspect", name)), &list); err != nil || len(list) != 1 {
		t.Fatalf("docker inspect %s: %d objects, %v", name, len(list), err)
	}
	if err := json.Unmarshal(list[0], into); err != nil {
		t.Fatal(err)
	}
}

// hardening is the set of options that deploy/README.md recommends.
var hardening = []string{
	"--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=64m,mode=1777", "--cap-drop", "ALL",
	"--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", "1g", "--memory-swap", "1g",
}

// container is a running container, removed at the end of the test.
type container struct {
	id  string
	url string
}

// start runs an image with the hardening and more arguments, without waiting for it. If the test fails, the server's
// log is printed.
func start(t *testing.T, image string, args ...string) *container {
	t.Helper()
	all := append([]string{"run", "--detach", "--publish", "127.0.0.1::8000"}, hardening...)
	c := &container{id: docker(t, append(append(all, args...), image)...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server:\n%s", c.logs(t))
		}
		docker(t, "rm", "--force", "--volumes", c.id)
	})
	if address, err := tryDocker(t, "port", c.id, "8000/tcp"); err == nil {
		c.url = "http://" + strings.Split(address, "\n")[0]
	}
	return c
}

func (c *container) logs(t *testing.T) string {
	out, err := exec.Command("docker", "logs", c.id).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// state is a container's state.
type state struct {
	State struct {
		Status    string
		ExitCode  int
		OOMKilled bool
		Health    struct{ Status string }
	}
	Config struct {
		Env    []string
		Labels map[string]string
	}
}

func (c *container) state(t *testing.T) (s state) {
	t.Helper()
	inspect(t, c.id, &s)
	return s
}

// exited waits until the container has exited.
func (c *container) exited(t *testing.T, within time.Duration) state {
	t.Helper()
	var s state
	wait(t, within, "the container ends", func() bool {
		s = c.state(t)
		return s.State.Status == "exited"
	})
	return s
}

// wait polls until a condition holds.
func wait(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %s: %s", within, what)
		}
	}
}
