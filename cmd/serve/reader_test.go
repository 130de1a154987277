package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"fovea/internal/exitcode"
)

// startPiped runs the server with its standard error in a pipe, and returns the pipe's other end once the server listens.
func startPiped(t *testing.T, dir string, args ...string) (*process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: command(t, dir, append(args, "--http.address=127.0.0.1:0")...), exited: make(chan struct{})}
	p.cmd.Stderr = w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		_ = r.Close()
	})
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			p.address = line.Address
			return p, r
		}
	}
	t.Fatal("the server does not listen")
	return nil, nil
}

func TestServerSurvivesTheEndOfItsLogReader(t *testing.T) {
	p, r := startPiped(t, newRepository(t))
	p.waitReady()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // each writes a line
		p.good()
	}
	p.wait("dropped lines are counted", func() bool {
		return strings.Contains(p.get("/metrics").body, "fovea_log_dropped_total ") &&
			!strings.Contains(p.get("/metrics").body, "fovea_log_dropped_total 0\n")
	})
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestStalledLogReaderDelaysNoResponse(t *testing.T) {
	p, _ := startPiped(t, newRepository(t))
	p.waitReady()
	long := strings.Repeat("x", 120) // the request's id is in its line; a pipe holds 64 KiB
	for range 600 {
		got, err := p.do("POST", predictPath, http.Header{"Content-Type": {"image/jpeg"}, "X-Request-Id": {long}}, strings.NewReader("no image"))
		if err != nil || got.status < 400 || got.status >= 500 {
			t.Fatal(got.status, err)
		}
	}
	p.good()
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestCommandInAPipeEndsQuietly(t *testing.T) {
	list := command(t, newRepository(t), "models", "list")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close() // as head does once it has enough
	var stderr strings.Builder
	list.Stdout, list.Stderr = w, &stderr
	err = list.Run()
	_ = w.Close()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE || stderr.String() != "" {
		t.Errorf("exited with %v and printed %q", err, stderr.String())
	}
}

func TestExitStatusDoesNotDependOnTheLogReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	c := command(t, newRepository(t), "--http.address=nowhere")
	c.Stdout, c.Stderr = w, w
	if err := c.Run(); c.ProcessState.ExitCode() != exitcode.Configuration {
		t.Errorf("a wrong configuration without a reader: %v", err)
	}
}
