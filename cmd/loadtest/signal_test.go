package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"
)

func TestSecondSignalEndsTheProgramImmediately(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	dir := t.TempDir()
	program, pipe := filepath.Join(dir, "loadtest"), filepath.Join(dir, "pipe")
	if out, err := exec.Command("go", "build", "-tags=gocv_specific_modules", "-o", program, "fovea/cmd/loadtest").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	// Once interrupted, it blocks on writing the page to a pipe that has no reader.
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	test := exec.Command(program, "--url="+server.URL, "--images="+filepath.Join(testenv.Root(t), "testdata", "images"), "--gpu=false",
		"--warmup=0s", "--window=10ms", "--window-count=1", "--concurrency="+strings.Repeat("1,", 1000)+"1", "--html="+pipe)
	stderr, err := test.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := test.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// A shell's background jobs ignore SIGINT, and child processes inherit that unless the signal is handled here.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, os.Interrupt)
	defer signal.Stop(handled)
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = test.Process.Kill() })
	defer stuck.Stop()
	awaitLine(t, stderr) // of the first level
	if err := test.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, stdout) // of what it has
	go func() {
		for test.Process.Signal(os.Interrupt) == nil { // it may not be ready for the next one at once
			time.Sleep(50 * time.Millisecond)
		}
	}()
	err = test.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("got %v", err)
	}
}

// awaitLine reads a line, and has what follows read.
func awaitLine(t *testing.T, r io.Reader) {
	t.Helper()
	lines := bufio.NewReader(r)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
}

func TestLoadTestContinuesWithoutAReaderOfItsProgress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	dir := t.TempDir()
	program, result := filepath.Join(dir, "loadtest"), filepath.Join(dir, "result.json")
	if out, err := exec.Command("go", "build", "-tags=gocv_specific_modules", "-o", program, "fovea/cmd/loadtest").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	test := exec.Command(program, "--url="+server.URL, "--images="+filepath.Join(testenv.Root(t), "testdata", "images"), "--gpu=false",
		"--warmup=0s", "--window=10ms", "--window-count=2", "--concurrency=1", "--json="+result)
	test.Stderr, test.Stdout = w, w
	err = test.Run()
	_ = w.Close()
	if status := exitStatusOf(err); status != exitFailed {
		t.Errorf("without a reader of its result it ended with %v", err)
	}
	if info, err := os.Stat(result); err != nil || info.Size() == 0 {
		t.Errorf("the result is not written: %v", err)
	}
	test = exec.Command(program, test.Args[1:]...)
	if r, w, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	test.Stderr = w
	if err := test.Run(); err != nil {
		t.Errorf("without a reader of its progress it ended with %v", err)
	}
	_ = w.Close()
}

func exitStatusOf(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	return exit.ExitCode()
}
