package api

import (
	"cmp"
	"context"
	"encoding/json"
	"image"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/config"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	v2 "fovea/internal/v2"
	"fovea/postprocess"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine returns the image's bytes as the label, so that a mix-up of images shows.
type engine struct {
	mu       sync.Mutex
	statuses []inference.Status
	predict  func(context.Context, inference.Request) (*inference.Response, error) // nil: echo
	tensors  v2.Engine                                                             // nil: none
	ready    []string
	broken   error
}

func newEngine() *engine {
	info := []repository.TensorInfo{{Name: "x", DType: repository.Float32, Shape: []int64{-1, 3, 224, 224}}}
	return &engine{statuses: []inference.Status{
		{Name: "cats", Version: "1", State: inference.Ready, Default: true, Task: repository.Classification,
			Labels: []string{"tabby", "siamese"}, Device: "cpu", Inputs: info, Outputs: info, MaxBatch: 1, MaxQueue: 256, Memory: 4096},
		{Name: "cats", Version: "2", State: inference.Failed, Default: true, Error: "self-test failed",
			Gate: &inference.GateResult{Images: 240, Against: "1", Accuracy: new(0.5), ServedAccuracy: new(1.0), Reason: inference.RefusedMaxDrop}},
		{Name: "boxes", Version: "3", State: inference.Ready, Task: repository.Detection, Device: "cpu",
			Warnings: []string{"output.box_format: may be another"},
			Inferred: &repository.Inferred{Exporter: "Ultralytics", Origins: []repository.Origin{
				{Key: "input.scale", Value: "0.00392", From: "usual of Ultralytics exports", Assumed: true},
				{Key: "output.decode", Value: "yolo", From: "shape of output0"}}}},
	}}
}

func (e *engine) Models() []inference.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.statuses
}

func (e *engine) Default() string {
	for _, m := range e.Models() {
		if m.Default {
			return m.Name
		}
	}
	return ""
}

// noTensors has no model for the Open Inference Protocol.
type noTensors struct{ *engine }

func (noTensors) Open(_ context.Context, model, _ string) (*inference.Ref, error) {
	return nil, apierror.New(apierror.ModelNotFound, "no model %s", model)
}

func (noTensors) Has(string) bool                                 { return false }
func (noTensors) Unloaded(string, string) (repository.Task, bool) { return "", false }
func (noTensors) Load(context.Context, string) error              { return nil }
func (noTensors) Unload(string) error                             { return nil }

func (e *engine) Ready() []string { return e.ready }
func (e *engine) Broken() error   { return e.broken }

func (e *engine) Predict(ctx context.Context, r inference.Request) (*inference.Response, error) {
	if e.predict != nil {
		return e.predict(ctx, r)
	}
	return echo(ctx, r)
}

// Decode is a gray image.
func (e *engine) Decode(_ context.Context, _ []byte, _ int, use func(img *image.RGBA, scale float64) error) error {
	return use(image.NewRGBA(image.Rect(0, 0, 20, 10)), 1)
}

func echo(_ context.Context, r inference.Request) (*inference.Response, error) {
	text := string(r.Image)
	switch {
	case r.Version != "" && r.Version != "1":
		return nil, apierror.New(apierror.ModelNotFound, "model %s has no version %q", r.Model, r.Version)
	case strings.HasPrefix(text, "truncated"):
		return nil, apierror.New(apierror.Undecodable, "the JPEG is truncated")
	case strings.HasPrefix(text, "huge"):
		return nil, apierror.New(apierror.ImageTooLarge, "image has 900 megapixels (30000×30000); the limit is 50 megapixels")
	case len(text) < 2:
		return nil, apierror.New(apierror.UnsupportedFormat, "no image format that is read: allowed are JPEG, PNG, WebP and BMP")
	}
	response := &inference.Response{Model: r.Model, Version: "1", Device: "cpu",
		Timing: inference.Timing{Queue: time.Millisecond, Decode: 2500 * time.Microsecond, Infer: 3 * time.Millisecond}}
	if r.Model == "boxes" {
		response.Prediction = &postprocess.Detected{Width: 640, Height: 480,
			Boxes: []postprocess.Box{{Class: 5, Label: text, Score: 0.91, X1: 1, Y1: 2.5, X2: 3, Y2: 4}}}
		return response, nil
	}
	top := []postprocess.Class{}
	for i := range max(1, r.Params.TopK) {
		top = append(top, postprocess.Class{Class: i, Label: text, Score: 0.5})
	}
	response.Prediction = &postprocess.Classified{Top: top}
	return response, nil
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// pipes is a listener in memory, for tests in virtual time.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
	closing     sync.Once
}

func newPipes() *pipes { return &pipes{connections: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.closing.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.connections <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// testServer is a server and its client. Every response is validated against the OpenAPI document.
type testServer struct {
	t       *testing.T
	engine  *engine
	monitor *health.Monitor
	server  *Server
	address string
	connect dialFunc
	client  *http.Client
	log     *testenv.Buffer
}

// open serves on a TCP socket until the test ends.
func open(t *testing.T, change ...func(*Config, *engine)) *testServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, listener, (&net.Dialer{}).DialContext, change...)
}

func openOn(t *testing.T, listener net.Listener, dial dialFunc, change ...func(*Config, *engine)) *testServer {
	t.Helper()
	cfg, e := Defaults(), newEngine()
	for _, c := range change {
		c(&cfg, e)
	}
	if err := config.Check(cfg); err != nil {
		t.Fatal(err)
	}
	log := &testenv.Buffer{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	monitor := health.New(e, logger)
	monitor.Loaded()
	server := New(cfg, openGuard(t, cfg, logger), e, monitor, NewMetrics(Build{Version: "test"}), logger)
	server.EnableV2(v2.New(cmp.Or[v2.Engine](e.tensors, noTensors{e}), v2.Limits{Timeout: cfg.Timeout, Rows: cfg.MaxImages, BodySize: int64(cfg.MaxBodyBytes),
		ImageSize: int64(cfg.MaxImageBytes), Control: true}, "fovea", "test"))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	transport := &http.Transport{DialContext: dial, ExpectContinueTimeout: 5 * time.Second}
	s := &testServer{t, e, monitor, server, listener.Addr().String(), dial, &http.Client{Transport: checked{t, transport}, Timeout: 20 * time.Second}, log}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func openGuard(t testing.TB, cfg Config, log *slog.Logger) *access.Guard {
	t.Helper()
	guard, err := access.Open(cfg.Access, log)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func (s *testServer) url(path string) string { return "http://" + s.address + path }

// result is a response.
type result struct {
	Status int           `json:"-"`
	Header http.Header   `json:"-"`
	Body   []byte        `json:"-"`
	Error  string        `json:"error"`
	Code   apierror.Code `json:"code"`
	Model  string        `json:"model"`
	ID     string        `json:"request_id"`

	Predictions []struct {
		Top   []postprocess.Class `json:"top"`
		Boxes []postprocess.Box   `json:"boxes"`
		Error string              `json:"error"`
		Code  apierror.Code       `json:"code"`
	} `json:"predictions"`
	Timing map[string]any `json:"timing"`
}

func (s *testServer) do(r *http.Request) result {
	s.t.Helper()
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	got := result{Status: response.StatusCode, Header: response.Header, Body: body}
	if len(body) > 0 && body[0] == '{' && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(body, &got); err != nil {
			s.t.Fatalf("%v in %s", err, body)
		}
	}
	return got
}

func (s *testServer) request(method, path, contentType string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url(path), body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (s *testServer) get(path string) result {
	s.t.Helper()
	return s.do(s.request("GET", path, "", nil))
}

func (s *testServer) post(path, contentType, body string) result {
	s.t.Helper()
	return s.do(s.request("POST", path, contentType, strings.NewReader(body)))
}

// good checks that a good request succeeds.
func (s *testServer) good() {
	s.t.Helper()
	got := s.post("/v1/models/cats/predict", "image/jpeg", "a good image")
	if got.Status != 200 || len(got.Predictions) != 1 || got.Predictions[0].Top[0].Label != "a good image" {
		s.t.Errorf("the next good request: %d %s", got.Status, got.Body)
	}
}
