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

func TestCommands(t *testing.T) {
	r := newHarness(t, two)
	r.expect(true, []string{"ok    Docker engine", "ok    image", "ok    seccomp", "is free"}, "doctor")
	r.expect(false, []string{"supervisor is not running (socket "}, "probe")
	r.start(2, nil)
	s := r.until("ready", func(s fleet.Status) bool { return s.Ready == 2 })
	if err := predict(t, s.Gateway); err != nil {
		t.Error(err)
	}
	r.expect(true, []string{"2 of 2 ready at " + s.Gateway, "REPLICA", "cpu-0.1", "cpu-1.1", "ready"}, "status")
	var status fleet.Status
	if err := json.Unmarshal([]byte(r.expect(true, nil, "status", "--json")), &status); err != nil || status.Ready != 2 || status.Replicas[1].Container != r.name+"-cpu-1.1" {
		t.Errorf("%v: %+v", err, status)
	}
	r.watches()
	r.expect(true, nil, "probe")
	r.expect(true, nil, "probe", "--ready")
	r.expect(true, []string{"server ready"}, "logs", "cpu-0")
	r.expect(false, []string{`no replica named "cpu-7"`}, "logs", "cpu-7")
	r.expect(false, []string{`"0" is not a GPU of this fleet`}, "drain", "0")
	r.expect(false, []string{`neither a GPU nor a replica`}, "resume", "x")
	r.expect(true, nil, "resume", "cpu-0")
	r.expect(false, []string{"another supervisor is running"}, "run")

	r.expect(true, []string{"0 of 2 done; replacing cpu-0", "1 of 2 done; replacing cpu-1", "all replicas are at generation 2"}, "rollout")
	r.configure(two + "args: [--inference.device=cuda]\n")
	before := r.containers()
	r.expect(false, []string{"rollout failed", "the old replicas keep running", "libonnxruntime_providers_cuda.so"}, "rollout")
	r.expect(true, []string{"2 of 2 ready", "failed: cpu-0", "libonnxruntime_providers_cuda.so"}, "status")
	if after := r.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
	r.configure(strings.Replace(two, "replicas: 2", "replicas: 0", 1))
	r.expect(false, []string{"replicas: "}, "rollout")

	r.configure(two)
	keep(t, s.Gateway)
	r.expect(true, nil, "down")
	r.gone()
	if left := r.containers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	r.expect(false, []string{"supervisor is not running (socket "}, "down")
}

// keep leaves a connection to the gateway open, which delays the supervisor's end for a moment.
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

// watches runs status --watch for a while.
func (r *harness) watches() {
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

func TestConfigurationErrorHasItsOwnExitStatus(t *testing.T) {
	r := newHarness(t, "models: /etc\nnetwork: host\n")
	cmd := r.command("run")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitcode.Configuration || !bytes.Contains(out, []byte("models: unsafe")) || !bytes.Contains(out, []byte("network:")) {
		t.Errorf("%v, %s", err, out)
	}
}

// listen returns a listening socket that stays open while the supervisor restarts, as with systemd.
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

func TestRestartWithASystemdSocketLosesNoConnection(t *testing.T) {
	r := newHarness(t, "replicas: 2\ngateway: {address: \"127.0.0.1:1\"}\n") // Overridden by the socket's address.
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
		time.Sleep(500 * time.Millisecond) // Connections wait in the socket.
		r.start(2, socket)
	}
	time.Sleep(time.Second)
	close(stop)
	senders.Wait()
	t.Logf("three restarts: %d requests on separate connections, %d failed", sent.Load(), failed.Load())
	if failed.Load() > 0 || sent.Load() < 50 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
	}
	if after := r.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
}
