package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSupervisorSurvivesAClosedLog(t *testing.T) {
	dir := t.TempDir()
	program, file := filepath.Join(dir, "supervise"), filepath.Join(dir, "supervise.yaml")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	configuration := "image: fovea:test\nengine: {host: 'unix://" + dir + "/none.sock'}\ngpus: none\n"
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(program, "run", "--file="+file)
	run.Stderr = w
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	stuck := time.AfterFunc(time.Minute, func() { _ = run.Process.Kill() })
	defer stuck.Stop()
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || !strings.Contains(line, "waiting for the Docker engine") {
		t.Fatalf("%q, %v", line, err)
	}
	_ = r.Close()
	if err := run.Process.Signal(syscall.SIGTERM); err != nil { // Its last message has no reader.
		t.Fatal(err)
	}
	_ = run.Wait()
	if status := run.ProcessState.Sys().(syscall.WaitStatus); status.ExitStatus() != 1 {
		t.Errorf("exit status %d, signal %v", status.ExitStatus(), status.Signal())
	}
}
