package api

import (
	"errors"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/apierror"
)

func TestHealthAndReady(t *testing.T) {
	for name, test := range map[string]struct {
		change        func(*engine, *health.Monitor)
		health, ready int
		says          string
	}{
		"all well":               {func(*engine, *health.Monitor) {}, 200, 200, `{"status":"ready","reasons":[]`},
		"a required model fails": {func(e *engine, _ *health.Monitor) { e.ready = []string{"model cats: no file"} }, 200, 503, `{"status":"unready","reasons":["model cats: no file"]`},
		"draining":               {func(_ *engine, m *health.Monitor) { m.Drain() }, 200, 503, `"status":"draining"`},
		"the device is lost":     {func(e *engine, _ *health.Monitor) { e.broken = errors.New("cuda:0 is lost") }, 503, 503, `{"status":"broken","reasons":["cuda:0 is lost"]`},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			test.change(s.engine, s.monitor)
			got := s.get("/ready")
			if got.Status != test.ready || !strings.Contains(string(got.Body), test.says) {
				t.Errorf("/ready: %d %s", got.Status, got.Body)
			}
			if retry := got.Header.Get("Retry-After"); (retry != "") != (test.ready == 503) {
				t.Errorf("/ready: Retry-After %q", retry)
			}
			if got := s.get("/health"); got.Status != test.health || !strings.Contains(string(got.Body), test.says) {
				t.Errorf("/health: %d %s", got.Status, got.Body)
			}
		})
	}
}

func TestReadyListsMissingVersions(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.statuses = append(e.statuses, inference.Status{Name: "late", Version: "1", State: inference.Loading}, inference.Status{Name: "old", Version: "1", State: inference.Unloading})
	})
	got := s.get("/ready")
	if want := `{"status":"ready","reasons":[],"missing":["cats 2: self-test failed"],"warnings":[]}` + "\n"; got.Status != 200 || string(got.Body) != want {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestUnreadableModelIsAWarning(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		for i := range e.statuses {
			e.statuses[i].Unreadable = "cannot be read: input/output error"
		}
		e.statuses = append(e.statuses, inference.Status{Name: "fish", State: inference.Failed, Error: "no file", Unreadable: "cannot be read"}) // nothing is served
	})
	got := s.get("/ready")
	if want := `"warnings":["cats is served as last loaded: cannot be read: input/output error","boxes is served as last loaded: cannot be read: input/output error"]}`; got.Status != 200 || !strings.Contains(string(got.Body), want) {
		t.Errorf("/ready: %d %s", got.Status, got.Body)
	}
	if got := s.get("/v1/models/cats"); got.Status != 200 || !strings.Contains(string(got.Body), `"unreadable":"cannot be read: input/output error"`) {
		t.Errorf("/v1/models/cats: %d %s", got.Status, got.Body)
	}
	if got := s.get("/metrics"); !strings.Contains(string(got.Body), `fovea_model_unreadable{model="cats"} 1`) {
		t.Error("the metric is not 1")
	}
}

func TestReadyTellsTheProgressOfEngines(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.statuses = []inference.Status{
			{Name: "a", Version: "1", State: inference.Ready, Engines: &inference.EngineStatus{Built: 2, Of: 4, Building: true}},
			{Name: "b", Version: "3", State: inference.Ready, Engines: &inference.EngineStatus{Of: 1, Error: "no memory"}},
			{Name: "c", Version: "1", State: inference.Ready, Engines: &inference.EngineStatus{Built: 4, Of: 4}},
		}
	})
	got := s.get("/ready")
	if want := `"warnings":[],"engines":["a 1: 2 of 4 TensorRT engines are built; CUDA computes the other batch sizes",` +
		`"b 3: 0 of 1 TensorRT engines are built: no memory; CUDA computes the other batch sizes"]}`; got.Status != 200 || !strings.Contains(string(got.Body), want) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestBeforeModelsAreLoaded(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) { e.statuses = nil })
	s.server.health = health.New(s.engine, s.server.log)
	for _, path := range []string{"/predict", "/v1/models/cats/predict"} {
		if got := s.post(path, "image/jpeg", "pixels"); got.Status != 503 || got.Code != "not_ready" || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := s.get("/v1/models"); string(got.Body) != `{"default":"","models":[]}`+"\n" {
		t.Errorf("/v1/models: %s", got.Body)
	}
}

func TestModels(t *testing.T) {
	s := open(t)
	got := s.get("/v1/models")
	if body := string(got.Body); got.Status != 200 || !strings.HasPrefix(body, `{"default":"cats","models":[{"name":"cats"`) || strings.Contains(body, "tabby") {
		t.Errorf("the list: %d %s", got.Status, got.Body)
	}
	got = s.get("/v1/models/cats")
	for _, part := range []string{`"required":false,"state":"ready","task"`, `"labels":["tabby","siamese"]`, `"state":"ready"`, `{"version":"2","state":"failed","error":"self-test failed"`, `"shape":[-1,3,224,224]`,
		`"gate":{"passed":false,"reason":"max_drop","images":240,"against":"1","accuracy":0.5,"served_accuracy":1}`} {
		if !strings.Contains(string(got.Body), part) {
			t.Errorf("the model lacks %s: %s", part, got.Body)
		}
	}
	if part := `"definition":"file","assumptions":[],`; !strings.Contains(string(got.Body), part) {
		t.Errorf("the model lacks %s: %s", part, got.Body)
	}
	for _, path := range []string{"/v1/models", "/v1/models/boxes"} {
		got := s.get(path)
		if part := `"definition":"inferred","exporter":"Ultralytics","assumptions":[{"key":"input.scale","value":"0.00392","from":"usual of Ultralytics exports"}],`; !strings.Contains(string(got.Body), part) {
			t.Errorf("%s lacks %s: %s", path, part, got.Body)
		}
	}
	if got := s.get("/v1/models/dogs"); got.Status != 404 || got.Code != "model_not_found" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestRequestWithoutModel(t *testing.T) {
	both := newEngine().statuses
	for i := range both {
		both[i].Default = false
	}
	for name, test := range map[string]struct {
		statuses []inference.Status
		status   int
		code     string
		says     string
	}{
		"a default":                    {newEngine().statuses, 200, "", ""},
		"several models, none default": {both, 400, "model_required", "one of boxes, cats,"},
		"no models":                    {nil, 503, "not_ready", "no model is loaded yet"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.engine.mu.Lock()
			s.engine.statuses = test.statuses
			s.engine.mu.Unlock()
			got := s.post("/predict", "image/jpeg", "pixels")
			if got.Status != test.status || string(got.Code) != test.code || !strings.Contains(got.Error, test.says) {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

func TestModelLoadedLater(t *testing.T) {
	s := open(t)
	s.good()
	s.engine.mu.Lock()
	s.engine.statuses = append(s.engine.statuses, inference.Status{Name: "late", Version: "1", State: inference.Ready})
	s.engine.mu.Unlock()
	if got := s.post("/v1/models/late/predict", "image/jpeg", "pixels"); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestDrainClosesConnections(t *testing.T) {
	s := open(t)
	s.server.Drain()
	s.good()
	response, err := s.client.Get(s.url("/health"))
	if err != nil || !response.Close {
		t.Errorf("%v, %+v", err, response)
	}
	_ = response.Body.Close()
}

func TestShutdownFinishesRequestsInFlight(t *testing.T) {
	s := open(t)
	slow := s.dial(begin + "Content-Length: 10\r\n\r\nin fl")
	s.eventually("fovea_requests_in_flight 1")
	over := make(chan error, 1)
	go func() { over <- s.server.Shutdown(t.Context()) }()
	for s.post("/predict", "image/jpeg", "pixels").Status == 200 { // until Shutdown has begun
	}
	got := s.post("/predict", "image/jpeg", "pixels")
	if got.Status != 503 || got.Code != apierror.Draining || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Error, "shutting down") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := s.get("/health"); got.Status != 200 {
		t.Errorf("/health: %d", got.Status)
	}
	if _, err := slow.Write([]byte("ight!")); err != nil {
		t.Fatal(err)
	}
	if status, body := s.responseOn(slow); status != 200 || !strings.Contains(body, "in flight!") {
		t.Errorf("what was in flight: %d %s", status, body)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_ = conn.Close()
		t.Error("the listener is open")
	}
}

// documented is every metric of Fovea's, and what comes of the ways that TestMetrics goes.
var documented = []string{
	"fovea_requests_total", "fovea_request_duration_seconds", "fovea_stage_duration_seconds", "fovea_batch_size", "fovea_queue_depth",
	"fovea_rejected_total", "fovea_images_total", "fovea_model_ready", "fovea_model_unreadable", "fovea_build_info", "fovea_requests_in_flight",
	"fovea_body_bytes_in_flight", "fovea_access_refused_total", "fovea_gate_refused", "fovea_gate_measure", "fovea_model_memory_bytes", "fovea_model_evictions_total",
}

func TestMetrics(t *testing.T) {
	s := open(t)
	m := s.server.metrics
	m.Stage("cats", "1", inference.StageInfer, 1500*time.Microsecond)
	m.Batch("cats", "1", 3, 1)
	m.Queue("cats", "1", 7)
	m.Queue("cats", "1", -2)
	m.Rejected("", "model_not_found")
	m.Evicted("dogs", inference.EvictedForRoom)
	s.good()
	for _, name := range []string{"dogs", "made-up", "../x"} {
		s.post("/v1/models/"+strings.ReplaceAll(name, "/", "%2F")+"/predict", "image/jpeg", "pixels")
	}
	s.post("/predict", "application/json", images("", "one", "truncated", ""))
	text := string(s.get("/metrics").Body)
	for _, line := range []string{
		`fovea_requests_total{model="cats",status="200",version="1"} 2`,
		`fovea_requests_total{model="unknown",status="404",version=""} 3`,
		`fovea_request_duration_seconds_count{model="cats",version="1"} 2`,
		`fovea_stage_duration_seconds_bucket{model="cats",stage="infer",version="1",le="0.001"} 0`,
		`fovea_stage_duration_seconds_bucket{model="cats",stage="infer",version="1",le="0.0025"} 1`,
		`fovea_batch_size_bucket{model="cats",version="1",le="4"} 1`,
		`fovea_queue_depth{model="cats",version="1"} 5`,
		`fovea_rejected_total{code="model_not_found",model="unknown"} 4`,
		`fovea_images_total{code="ok",model="cats"} 2`,
		`fovea_images_total{code="undecodable",model="cats"} 1`,
		`fovea_images_total{code="malformed",model="cats"} 1`,
		`fovea_rejected_total{code="malformed",model="cats"} 1`,
		`fovea_model_ready{device="cpu",model="cats",version="1"} 1`,
		`fovea_model_ready{device="",model="cats",version="2"} 0`,
		`fovea_model_unreadable{model="cats"} 0`,
		`fovea_model_memory_bytes{model="cats",version="1"} 4096`,
		`fovea_model_evictions_total{model="dogs",reason="room"} 1`,
		`fovea_gate_refused{model="cats",reason="max_drop",version="2"} 1`,
		`fovea_gate_measure{measure="accuracy",model="cats",version="2"} 0.5`,
		`fovea_gate_measure{measure="images",model="cats",version="2"} 240`,
		`fovea_build_info{go_version="",revision="",version="test"} 1`,
		"go_goroutines ", "process_resident_memory_bytes ", "go_build_info{",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
	found := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (fovea_\w+)`).FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	want := slices.Sorted(slices.Values(documented))
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
		t.Errorf("metrics %s\ndocumented %s", got, want)
	}
}
