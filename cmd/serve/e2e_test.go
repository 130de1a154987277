package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

// program is the path of the binary, built once for all tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "serve")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "serve")
	build := exec.Command("go", "build", "-tags", "gocv_specific_modules", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const model = "efficientnet-lite0"

// process is a running server.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	client  *http.Client  // nil: without TLS
	exited  chan struct{} // closed when it has ended
	log     testenv.Buffer
}

// newRepository returns a model repository that holds the default model.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	copyModel(t, filepath.Join(dir, model), "1")
	return dir
}

// copyModel copies the default model to another name and version.
func copyModel(t *testing.T, folder, version string) {
	t.Helper()
	from := filepath.Join(testenv.Models(t), model)
	if err := os.MkdirAll(filepath.Join(folder, version), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"labels.txt", "self_test.jpg", "1/model.onnx", "model.yaml"} {
		to := filepath.Join(folder, strings.Replace(file, "1/", version+"/", 1))
		data, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "model.yaml" {
			data = bytes.Replace(data, []byte("name: "+model), []byte("name: "+filepath.Base(folder)), 1)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// command returns a command of the binary without configuration but args, with the simulated GPUs if any.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--repository.dir=" + dir, "--inference.device=cpu", "--inference.library=" + testenv.ORTLibrary(t), "--log.format=json"}, args...)
	cmd := exec.Command(program, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "FOVEA_") || strings.HasPrefix(pair, "FOVEA_SIMNVML_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	return cmd
}

// start runs the server and waits until it listens.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(t, dir, append([]string{"--http.address=127.0.0.1:0"}, args...)...), exited: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go p.read(stderr, listening)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("log:\n%s", p.logged())
		}
	})
	select {
	case p.address = <-listening:
	case <-p.exited:
		t.Fatalf("the server ended: %s", p.logged())
	case <-time.After(time.Minute):
		t.Fatal("the server does not listen")
	}
	return p
}

// read collects the log, finds the address in it, and waits for the process.
func (p *process) read(stderr io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(&p.log, lines.Text())
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			listening <- line.Address
		}
	}
	_ = p.cmd.Wait()
	close(p.exited)
}

func (p *process) logged() string { return p.log.String() }

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the process and returns its exit status.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.t.Fatal("the server does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// reply is a response.
type reply struct {
	status      int
	body        string
	Error, Code string
	Version     string
	Predictions []struct {
		Top  []struct{ Label string }
		Code string
	}
}

var client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}

func (p *process) do(method, path string, header http.Header, body io.Reader) (reply, error) {
	scheme, client := "http://", client
	if p.client != nil {
		scheme, client = "https://", p.client
	}
	r, err := http.NewRequest(method, scheme+p.address+path, body)
	if err != nil {
		return reply{}, err
	}
	r.Header = header
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	got := reply{status: response.StatusCode, body: string(text)}
	_ = json.Unmarshal(text, &got) // metrics are no JSON
	return got, nil
}

func (p *process) get(path string) reply {
	p.t.Helper()
	got, err := p.do("GET", path, nil, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

func (p *process) post(path, contentType string, body []byte) reply {
	p.t.Helper()
	got, err := p.do("POST", path, http.Header{"Content-Type": {contentType}}, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

// waitReady waits until /ready is 200.
func (p *process) waitReady() *process {
	p.t.Helper()
	p.wait("/ready answers 200", func() bool { return p.get("/ready").status == 200 })
	return p
}

// waitServed waits until a model is ready.
func (p *process) waitServed(name string) {
	p.t.Helper()
	p.wait(name+" is ready", func() bool { return strings.Contains(p.get("/v1/models/"+name).body, `"state":"ready"`) })
}

func (p *process) wait(what string, is func() bool) {
	p.t.Helper()
	for range 1200 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("never: %s", what)
}

// good checks that a good request gets the right response.
func (p *process) good() {
	p.t.Helper()
	got := p.post(predictPath, "image/jpeg", testenv.Image(p.t, "coffee.jpg"))
	if got.status != 200 || len(got.Predictions) != 1 || got.Predictions[0].Top[0].Label != "espresso" {
		p.t.Errorf("a good request: %d %s", got.status, got.body)
	}
}

// load has clients send requests, one after the other, until stop is called, which returns how many were answered. A client ends with
// the first error.
func load(t *testing.T, clients int, send func(client int) error) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := send(i); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	stop = func() int64 {
		cancel()
		running.Wait()
		return answered.Load()
	}
	t.Cleanup(func() { stop() })
	return stop
}
