package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/exitcode"
	"fovea/internal/testenv"
)

const predictPath = "/v1/models/" + model + "/predict"

// exitStatus is that of a command that ended by itself, or -1.
func exitStatus(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	return exit.ExitCode()
}

// rest sends the second half and returns the response.
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

func TestSIGTERMDrainsAndExitsWithZero(t *testing.T) {
	coffee := testenv.Image(t, "coffee.jpg")
	const delay = time.Second
	for name, s := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			p := start(t, newRepository(t), "--shutdown.delay="+delay.String()).waitReady()
			conn := p.half(predictPath, coffee)
			p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
			told := time.Now()
			p.signal(s)
			p.wait("/ready is 503", func() bool {
				got := p.get("/ready")
				return got.status == 503 && strings.Contains(got.body, `"draining"`)
			})
			if got := p.get("/health"); got.status != 200 {
				t.Errorf("/health while draining: %d", got.status)
			}
			within, err := p.do("POST", predictPath, map[string][]string{"Content-Type": {"image/jpeg"}}, bytes.NewReader(coffee))
			if time.Since(told) < delay && (err != nil || within.status != 200) {
				t.Errorf("within the delay: %v %d %s", err, within.status, within.body)
			}
			p.wait("new requests are refused", func() bool {
				got, err := p.do("POST", predictPath, map[string][]string{"Content-Type": {"image/jpeg"}}, bytes.NewReader(coffee))
				return err == nil && got.status == 503 && got.Code == "draining"
			})
			if got := p.get("/ready"); got.status != 503 {
				t.Errorf("/ready after the delay: %d", got.status)
			}
			if answer := rest(t, conn, coffee); !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "espresso") {
				t.Errorf("the accepted request: %s", answer)
			}
			if code := p.ends(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

func TestSecondSignalEndsTheServerAtOnce(t *testing.T) {
	p := start(t, newRepository(t), "--http.body_timeout=1m").waitReady()
	p.half(predictPath, testenv.Image(t, "coffee.jpg"))
	p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
	p.signal(syscall.SIGTERM)
	p.wait("draining is logged", func() bool { return strings.Contains(p.logged(), `"state":"draining"`) })
	p.wait("a second signal is not the first one repeated", func() bool {
		return p.cmd.Process.Signal(syscall.SIGTERM) != nil || strings.Contains(p.logged(), errSecondSignal.Error())
	})
	if code := p.ends(); code != 1 || !strings.Contains(p.logged(), errSecondSignal.Error()) {
		t.Errorf("exit status %d", code)
	}
}

func TestDrainBeyondItsTimeoutExitsWithOne(t *testing.T) {
	p := start(t, newRepository(t), "--http.body_timeout=1m", "--shutdown.timeout=200ms").waitReady()
	p.half(predictPath, testenv.Image(t, "coffee.jpg"))
	p.wait("the request is in flight", func() bool { return strings.Contains(p.get("/metrics").body, "fovea_requests_in_flight 1") })
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 1 || !strings.Contains(p.logged(), "1 requests were cut off") {
		t.Errorf("exit status %d", code)
	}
}

func TestSignalDuringLoadExitsWithZero(t *testing.T) {
	p := start(t, newRepository(t))
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestNewVersionReplacesTheOldWithoutFailedRequests(t *testing.T) {
	dir := newRepository(t)
	p := start(t, dir).waitReady()
	coffee := testenv.Image(t, "coffee.jpg")
	stop := load(t, 3, func(int) error {
		got, err := p.do("POST", predictPath, map[string][]string{"Content-Type": {"image/jpeg"}}, bytes.NewReader(coffee))
		if err == nil && (got.status != 200 || got.Predictions[0].Top[0].Label != "espresso") {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return err
	})
	copyModel(t, filepath.Join(dir, model), "2")
	p.signal(syscall.SIGHUP)
	p.wait("version 2 answers and version 1 is gone", func() bool {
		got := p.get("/v1/models/" + model).body
		return strings.Contains(got, `"version":"2","state":"ready"`) && !strings.Contains(got, `"version":"1"`)
	})
	stop()
	if got := p.post(predictPath, "image/jpeg", coffee); got.Version != "2" {
		t.Errorf("answered by version %q", got.Version)
	}
}

func TestFailedVersionDoesNotReplaceAWorkingOne(t *testing.T) {
	dir := newRepository(t)
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

func TestLastingFailureIsLoggedOnce(t *testing.T) {
	dir := newRepository(t)
	p := start(t, dir, "--repository.poll=50ms").waitReady()
	definition := filepath.Join(dir, "other", "model.yaml")
	if err := os.Mkdir(filepath.Dir(definition), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, mistake := range []string{"one", "two"} { // the second is reported after syncs that found the first again
		if err := os.WriteFile(definition, []byte(mistake+": 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		p.wait("the error is logged", func() bool { return strings.Contains(p.logged(), "model.yaml:1:1: "+mistake+": unknown key") })
		time.Sleep(300 * time.Millisecond)
	}
	for _, mistake := range []string{"one", "two"} {
		if n := strings.Count(p.logged(), "model.yaml:1:1: "+mistake+": unknown key"); n != 1 {
			t.Errorf("%s logged %d times", mistake, n)
		}
	}
}

func TestReadyServerLogsACommandToTry(t *testing.T) {
	p := start(t, newRepository(t)).waitReady()
	p.wait("the command is logged", func() bool {
		return strings.Contains(p.logged(), "curl --data-binary @IMAGE.jpg -H 'Content-Type: image/jpeg' http://"+p.address+"/predict")
	})
}

func TestBadModel(t *testing.T) {
	dir := newRepository(t)
	bad := filepath.Join(dir, "bad")
	copyModel(t, bad, "1")
	if err := os.WriteFile(filepath.Join(bad, "1", "model.onnx"), []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("that is required ends the server, which says why", func(t *testing.T) {
		out, err := command(t, dir, "--http.address=127.0.0.1:0", "--inference.models=bad:required,"+model).CombinedOutput()
		if exitStatus(err) != exitcode.Configuration || !strings.Contains(string(out), "serve: a required model failed to load\nmodel bad version 1: ") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("that is not required leaves the others served", func(t *testing.T) {
		p := start(t, dir, "--inference.models=bad,"+model).waitReady()
		p.good()
		if got := p.get("/ready"); !strings.Contains(got.body, `"missing":["bad 1: `) {
			t.Errorf("/ready: %s", got.body)
		}
		if got := p.post("/v1/models/bad/predict", "image/jpeg", testenv.Image(t, "coffee.jpg")); got.status != 503 || got.Code != "not_ready" {
			t.Errorf("the bad model: %d %s", got.status, got.body)
		}
	})
}
