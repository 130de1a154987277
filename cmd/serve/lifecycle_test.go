package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"
)

const predictPath = "/v1/models/" + model + "/predict"

// rest sends what half left out and returns the answer.
func rest(t *testing.T, conn net.Conn, body []byte) string {
	t.Helper()
	if _, err := conn.Write(body[len(body)/2:]); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestSIGTERMAnswersWhatWasAcceptedAndEndsWithZero(t *testing.T) {
	coffee := testenv.Picture(t, "coffee.jpg")
	for name, s := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			p := start(t, repository(t), "--shutdown.delay=1s").waitReady()
			conn := p.half(predictPath, coffee)
			p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
			p.signal(s)
			p.wait("/ready is 503", func() bool {
				got := p.get("/ready")
				return got.status == 503 && strings.Contains(got.body, `"draining"`)
			})
			if got := p.get("/health"); got.status != 200 {
				t.Errorf("/health while draining: %d", got.status)
			}
			p.good() // within the delay
			p.wait("the listener is closed", func() bool {
				c, err := net.Dial("tcp", p.address)
				if err == nil {
					_ = c.Close()
				}
				return err != nil
			})
			if answer := rest(t, conn, coffee); !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "espresso") {
				t.Errorf("the accepted request: %s", answer)
			}
			if code := p.ends(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := start(t, repository(t), "--http.body_timeout=1m").waitReady()
	p.half(predictPath, testenv.Picture(t, "coffee.jpg"))
	p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
	p.signal(syscall.SIGTERM)
	p.wait("it drains", func() bool { return strings.Contains(p.logged(), `"state":"draining"`) })
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 1 || !strings.Contains(p.logged(), errSecondSignal.Error()) {
		t.Errorf("exit status %d", code)
	}
}

func TestTooLongADrainEndsWithOne(t *testing.T) {
	p := start(t, repository(t), "--http.body_timeout=1m", "--shutdown.timeout=200ms").waitReady()
	p.half(predictPath, testenv.Picture(t, "coffee.jpg"))
	p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 1 || !strings.Contains(p.logged(), "1 requests were cut off") {
		t.Errorf("exit status %d", code)
	}
}

func TestASignalWhileModelsLoadEndsWithZero(t *testing.T) {
	p := start(t, repository(t))
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestANewVersionIsSwappedInWithoutAFailedRequest(t *testing.T) {
	dir := repository(t)
	p := start(t, dir).waitReady()
	coffee := testenv.Picture(t, "coffee.jpg")
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for !stop.Load() {
				got, err := p.do("POST", predictPath, map[string][]string{"Content-Type": {"image/jpeg"}}, bytes.NewReader(coffee))
				if err != nil || got.status != 200 || got.Predictions[0].Top[0].Label != "espresso" {
					t.Errorf("%v %d %s", err, got.status, got.body)
				}
			}
		})
	}
	copyModel(t, filepath.Join(dir, model), "2")
	p.signal(syscall.SIGHUP)
	p.wait("version 2 answers and version 1 is gone", func() bool {
		got := p.get("/v1/models/" + model).body
		return strings.Contains(got, `"version":"2","state":"ready"`) && !strings.Contains(got, `"version":"1"`)
	})
	stop.Store(true)
	clients.Wait()
	if got := p.post(predictPath, "image/jpeg", coffee); got.Version != "2" {
		t.Errorf("answered by version %q", got.Version)
	}
}

func TestAVersionThatFailsNeverReplacesOneThatWorks(t *testing.T) {
	dir := repository(t)
	p := start(t, dir, "--repository.poll=200ms").waitReady()
	bad := filepath.Join(dir, model, "2")
	if err := os.Mkdir(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "model.onnx"), []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.wait("/ready says that version 2 is missing", func() bool {
		got := p.get("/ready")
		return got.status == 200 && strings.Contains(got.body, `"missing":["`+model+` 2: `)
	})
	p.good()
}

func TestABadModel(t *testing.T) {
	dir := repository(t)
	bad := filepath.Join(dir, "bad")
	copyModel(t, bad, "1")
	if err := os.WriteFile(filepath.Join(bad, "1", "model.onnx"), []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("that is required ends the server, which says why", func(t *testing.T) {
		out, err := command(t, dir, "--http.address=127.0.0.1:0", "--inference.models=bad:required,"+model).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "serve: a required model cannot be served\nmodel bad version 1: ") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("that isn't leaves the rest served", func(t *testing.T) {
		p := start(t, dir, "--inference.models=bad,"+model).waitReady()
		p.good()
		if got := p.get("/ready"); !strings.Contains(got.body, `"missing":["bad 1: `) {
			t.Errorf("/ready: %s", got.body)
		}
		if got := p.post("/v1/models/bad/predict", "image/jpeg", testenv.Picture(t, "coffee.jpg")); got.status != 503 || got.Code != "not_ready" {
			t.Errorf("the bad model: %d %s", got.status, got.body)
		}
	})
}

func TestWhatKeepsTheServerFromStartingIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		dir, says string
		args      []string
	}{
		"an address that is taken":          {repository(t), "http.address: listen tcp", []string{"--http.address=" + taken.Addr().String()}},
		"a repository that there isn't":     {"/none", "/none", []string{"--http.address=127.0.0.1:0"}},
		"a library that there isn't":        {repository(t), "/none.so", []string{"--inference.library=/none.so"}},
		"a flag that there isn't":           {repository(t), "unknown flag: --port", []string{"--port=8000"}},
		"an argument that nobody asked for": {repository(t), `unknown command "run"`, []string{"run"}},
		"a mistake in the configuration":    {repository(t), "http.max_images: 0 is not", []string{"--http.max_images=0"}},
		"CUDA where there is none":          {repository(t), "cuda", []string{"--inference.device=cuda:63"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, test.dir, test.args...).CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), test.says) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	dir := repository(t)
	p := start(t, dir).waitReady()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(p.address)
	for name, test := range map[string]struct {
		address string
		args    []string
		want    int
	}{
		"a healthy server":              {p.address, nil, 0},
		"a ready server":                {p.address, []string{"--ready"}, 0},
		"a server on all addresses":     {"0.0.0.0:" + port, nil, 0},
		"a server that does not answer": {silent.Addr().String(), []string{"--timeout=200ms"}, 1},
		"no server":                     {"127.0.0.1:1", nil, 1},
	} {
		cmd := command(t, dir, append([]string{"probe", "--http.address=" + test.address}, test.args...)...)
		begin := time.Now()
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.want {
			t.Errorf("%s: exit status %d after %s: %s", name, code, time.Since(begin), out)
		}
	}
}

func TestCommandsThatPrint(t *testing.T) {
	dir := repository(t)
	for args, want := range map[string]string{
		"version":               "fovea dev (revision ",
		"config":                "max_image_bytes: 16777216",
		"models list":           model + "   classification  1",
		"models check " + model: fmt.Sprintf("%s version 1: ready\n  device   cpu\n", model),
	} {
		out, err := command(t, dir, strings.Fields(args)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	for args, want := range map[string]string{
		"models check none": "none",
		"models pull":       "name the models, or give --all",
		"models pull none":  "none",
	} {
		out, err := command(t, dir, strings.Fields(args)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
