//go:build engine

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/fleet"
	"fovea/internal/exitcode"
	"fovea/internal/testenv"
)

const two = "replicas: 2\ngateway: {address: \"127.0.0.1:0\"}\n"

func TestEveryCommandOfARunningFleet(t *testing.T) {
	r := newRig(t, two)
	r.says(true, []string{"ok    Docker engine", "ok    image", "ok    seccomp", "is free"}, "doctor")
	r.says(false, []string{"supervise is not running"}, "probe")
	r.start(2, nil)
	s := r.until("ready", func(s fleet.Status) bool { return s.Ready == 2 })
	if err := predict(t, s.Gateway); err != nil {
		t.Error(err)
	}
	r.says(true, []string{"2 of 2 ready at " + s.Gateway, "REPLICA", "cpu-0.1", "cpu-1.1", "ready"}, "status")
	var told fleet.Status
	if err := json.Unmarshal([]byte(r.says(true, nil, "status", "--json")), &told); err != nil || told.Ready != 2 || told.Replicas[1].Container != r.name+"-cpu-1.1" {
		t.Errorf("%v: %+v", err, told)
	}
	r.watches()
	r.says(true, nil, "probe")
	r.says(true, nil, "probe", "--ready")
	r.says(true, []string{"server is ready"}, "logs", "cpu-0")
	r.says(false, []string{`no replica is named "cpu-7"`}, "logs", "cpu-7")
	r.says(false, []string{`"0" is no GPU of this fleet`}, "drain", "0")
	r.says(false, []string{`neither a GPU nor a replica`}, "resume", "x")
	r.says(true, nil, "resume", "cpu-0")
	r.says(false, []string{"another supervisor is running"}, "run")

	r.says(true, []string{"0 of 2 done; exchanging cpu-0", "1 of 2 done; exchanging cpu-1", "all replicas are of generation 2"}, "rollout")
	r.configure(two + "args: [--inference.device=cuda]\n")
	before := r.containers()
	r.says(false, []string{"the roll-out failed", "the old replicas go on", "libonnxruntime_providers_cuda.so"}, "rollout")
	r.says(true, []string{"2 of 2 ready", "failed: cpu-0", "libonnxruntime_providers_cuda.so"}, "status")
	if after := r.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
	r.configure(two + "replicas: 0\n")
	r.says(false, []string{"replicas: "}, "rollout")

	r.configure(two)
	keep(t, s.Gateway)
	r.says(true, nil, "down")
	r.gone()
	if left := r.containers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	r.says(false, []string{"there is no supervisor to tell"}, "down")
}

// keep leaves a connection to the gateway open, for which the supervisor's end waits a moment.
func keep(t *testing.T, gateway string) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + gateway + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

// watches has status show the fleet again and again.
func (r *rig) watches() {
	r.t.Helper()
	watch := r.command("status", "--watch")
	var shown testenv.Buffer
	watch.Stdout = &shown
	if err := watch.Start(); err != nil {
		r.t.Fatal(err)
	}
	for end := time.Now().Add(patience); strings.Count(shown.String(), "2 of 2 ready") < 2 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	_ = watch.Process.Signal(os.Interrupt)
	if err := watch.Wait(); err != nil || strings.Count(shown.String(), "2 of 2 ready") < 2 {
		r.t.Errorf("status --watch: %v\n%s", err, shown.String())
	}
}

func TestConfigurationThatIsWrongEndsTheRunWithAStatusOfItsOwn(t *testing.T) {
	r := newRig(t, "models: /etc\nnetwork: host\n")
	cmd := r.command("run")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitcode.Configuration || !bytes.Contains(out, []byte("models: unsafe")) || !bytes.Contains(out, []byte("network:")) {
		t.Errorf("%v, %s", err, out)
	}
}

// listen is a socket as systemd holds it: it stays open whatever the supervisor does.
func listen(t *testing.T) (*os.File, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // The file keeps it open.
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file, listener.Addr().String()
}

func TestRestartUnderASocketOfSystemdLosesNoConnection(t *testing.T) {
	r := newRig(t, "replicas: 2\ngateway: {address: \"127.0.0.1:1\"}\n") // The socket's address counts, not this one.
	socket, address := listen(t)
	r.start(2, socket)
	before := r.containers()
	var sent, failed atomic.Int64
	stop, senders := make(chan struct{}), sync.WaitGroup{}
	for range 8 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				sent.Add(1)
				if err := predict(t, address); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(time.Second)
		r.stop()
		time.Sleep(500 * time.Millisecond) // Nobody takes connections; the socket keeps them.
		r.start(2, socket)
	}
	time.Sleep(time.Second)
	close(stop)
	senders.Wait()
	t.Logf("three restarts: %d requests on connections of their own, %d failed", sent.Load(), failed.Load())
	if failed.Load() > 0 || sent.Load() < 50 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
	}
	if after := r.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
}
