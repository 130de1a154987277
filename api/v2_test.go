package api

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/inference"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// openV2 serves two models: add, whose output is the sum of its inputs a and b of two numbers, and same, which returns its input of
// float16.
func openV2(t *testing.T, change ...func(*Config, *engine)) *testServer {
	t.Helper()
	dir := t.TempDir()
	add, same := &onnxwriter.Model{}, &onnxwriter.Model{}
	add.Input("a", onnxwriter.Float, "n", 2)
	add.Input("b", onnxwriter.Float, "n", 2)
	add.Node("Add", "sum", nil, "a", "b")
	add.Output("sum", onnxwriter.Float, "n", 2)
	same.Input("x", onnxwriter.Float, "n", 1000)
	same.Node("Identity", "y", nil, "x")
	same.Output("y", onnxwriter.Float, "n", 1000)
	for name, m := range map[string]*onnxwriter.Model{"add": add, "same": same} {
		folder := filepath.Join(dir, name, "1")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{"../model.yaml": []byte("task: none\nbatching: {max_size: 4}"), "model.onnx": m.Bytes()} {
			if err := os.WriteFile(filepath.Join(folder, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg := inference.Defaults()
	cfg.Library, cfg.Device = testenv.ORTLibrary(t), "cpu"
	tensors, err := inference.New(cfg, repository.Open(dir), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tensors.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := tensors.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return open(t, append(change, func(_ *Config, e *engine) { e.tensors = tensors })...)
}

const addRequest = `{"id":"7","inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"b","shape":[1,2],"datatype":"FP32","data":[[10.5,20]]}]}`
const addResponse = `{"id":"7","model_name":"add","model_version":"1","outputs":[{"name":"sum","datatype":"FP32","shape":[1,2],"data":[11.5,22]}]}`

func TestV2Routes(t *testing.T) {
	s := openV2(t)
	for path, want := range map[string]string{
		"/v2":                             `{"name":"fovea","version":"test","extensions":["binary_tensor_data","classification","model_configuration","model_repository","parameters","statistics"]}`,
		"/v2/health/live":                 `{"live":true}`,
		"/v2/health/ready":                `{"ready":true}`,
		"/v2/models/add":                  `{"name":"add","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"a","datatype":"FP32","shape":[-1,2]},{"name":"b","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"sum","datatype":"FP32","shape":[-1,2]}]}`,
		"/v2/models/add/ready":            `{"name":"add","ready":true}`,
		"/v2/models/add/versions/1":       `{"name":"add","versions":["1"],`,
		"/v2/models/add/config":           `{"name":"add","platform":"onnxruntime_onnx","backend":"onnxruntime","version_policy":{"latest":{"num_versions":1}},"max_batch_size":64,"input":[{"name":"a","data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[2]}`,
		"/v2/models/stats":                `{"model_stats":[{"name":"add","version":"1","last_inference":0,"inference_count":0,`,
		"/v2/models/same/stats":           `{"model_stats":[{"name":"same","version":"1",`,
		"/v2/models/add?x=1":              `{"name":"add",`,
		"/v2/models/add/versions/1/ready": `{"name":"add","ready":true}`,
	} {
		if got := s.get(path); got.Status != 200 || !strings.HasPrefix(string(got.Body), want) || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	for path, status := range map[string]int{"/v2/": 404, "/v2/nope": 404, "/v2/models": 404, "/v2/models/nope": 404, "/v2/models/nope/ready": 404, "/v2/models/add/versions/9": 404,
		"/v2/models/add/versions/abc": 404, "/v2/models/add/versions/abc/config": 404, "/v2/models/add/infer": 405, "/v2/repository/index": 405, "/v2/models/nope/stats": 404,
		"/v2/systemsharedmemory/status": 404, "/v2/logging": 404} {
		got := s.get(path)
		var body map[string]string
		if err := json.Unmarshal(got.Body, &body); err != nil || got.Status != status || len(body) != 1 || body["error"] == "" {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := s.get("/v2/systemsharedmemory/status"); !strings.Contains(string(got.Body), "GET /v2 lists the extensions") {
		t.Errorf("an extension that is not there: %s", got.Body)
	}
	if got := s.post("/v2/repository/index", "", ""); string(got.Body) != `[{"name":"add","version":"1","state":"READY"},{"name":"same","version":"1","state":"READY"}]`+"\n" {
		t.Errorf("index: %s", got.Body)
	}
	for body, status := range map[string]int{`{"ready":true}`: 200, `{"ready":1}`: 400, `[`: 400, `null`: 400, `[]`: 400, `{"ready":null}`: 200, ``: 200, strings.Repeat(" ", maxControlBody+1): 413} {
		if got := s.post("/v2/repository/index", "application/json", body); got.Status != status {
			t.Errorf("index with %.20q: %d %s", body, got.Status, got.Body)
		}
	}
}

func TestV2Control(t *testing.T) {
	s := openV2(t)
	for _, c := range []struct {
		path, body string
		status     int
		ready      int // of model add, afterwards
	}{
		{"add/unload", `{"parameters":{"unload_dependents":false}}`, 200, 503},
		{"add/unload", "", 200, 503},
		{"nope/unload", "", 200, 503},
		{"add/load", `{"parameters":{"config":"{}"}}`, 400, 503},
		{"add/load", "{}", 200, 200},
		{"nope/load", "", 404, 200},
	} {
		got := s.post("/v2/repository/models/"+c.path, "application/json", c.body)
		if got.Status != c.status || c.status == 200 && len(got.Body) > 0 || c.status > 200 && got.Error == "" {
			t.Errorf("%s %s: %d %s", c.path, c.body, got.Status, got.Body)
		}
		if ready := s.get("/v2/models/add/ready"); ready.Status != c.ready {
			t.Errorf("after %s %s: ready %d", c.path, c.body, ready.Status)
		}
	}
}

func compressed(t *testing.T, encoding, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "deflate" {
		w = zlib.NewWriter(&b)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// infer sends a body with headers, given as pairs.
func (s *testServer) infer(model string, body []byte, headers ...string) result {
	s.t.Helper()
	r := s.request("POST", "/v2/models/"+model+"/infer", "", bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.do(r)
}

func TestV2Infer(t *testing.T) {
	s := openV2(t)
	if got := s.infer("add", []byte(addRequest)); got.Status != 200 || string(got.Body) != addResponse || got.Header.Get("Inference-Header-Content-Length") != "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	head := `{"inputs":[{"name":"b","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]}],"parameters":{"binary_data_output":true}}`
	body := append([]byte(head), 0, 0, 128, 63, 0, 0, 0, 64)
	got := s.infer("add/versions/1", body, "Inference-Header-Content-Length", fmt.Sprint(len(head)), "Content-Type", "application/octet-stream")
	want := `{"model_name":"add","model_version":"1","outputs":[{"name":"sum","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}`
	if got.Status != 200 || string(got.Body) != want+"\x00\x00\x00\x40\x00\x00\x80\x40" || got.Header.Get("Inference-Header-Content-Length") != fmt.Sprint(len(want)) ||
		got.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d %q", got.Status, got.Body)
	}
	raw := make([]byte, 4000)
	if got := s.infer("same", raw, "Inference-Header-Content-Length", "0"); got.Status != 200 || !bytes.HasSuffix(got.Body, raw) {
		t.Errorf("a raw body: %d", got.Status)
	}
	metrics := string(s.get("/metrics").Body)
	for _, line := range []string{`fovea_requests_total{model="add",status="200",version="1"} 2`, `fovea_images_total{code="ok",model="same"} 1`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s", line)
		}
	}
}

func TestV2Compression(t *testing.T) {
	s := openV2(t)
	for _, encoding := range []string{"gzip", "deflate"} {
		if got := s.infer("add", compressed(t, encoding, addRequest), "Content-Encoding", encoding); got.Status != 200 || string(got.Body) != addResponse {
			t.Errorf("%s request: %d %s", encoding, got.Status, got.Body)
		}
		got := s.infer("add", []byte(addRequest), "Accept-Encoding", "br, "+encoding+";q=0.5")
		var r io.Reader
		var err error
		if r, err = gzip.NewReader(bytes.NewReader(got.Body)); encoding == "deflate" {
			r, err = zlib.NewReader(bytes.NewReader(got.Body))
		}
		if err != nil || got.Header.Get("Content-Encoding") != encoding || strings.Join(got.Header.Values("Vary"), ",") != "Origin,Accept-Encoding" {
			t.Fatalf("%s response: %v, %v", encoding, got.Header, err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != addResponse {
			t.Errorf("%s response: %s, %v", encoding, text, err)
		}
		if got := s.infer("add", []byte(addRequest), "Content-Encoding", encoding); got.Status != 400 || !strings.Contains(got.Error, "the body is not "+encoding) {
			t.Errorf("a body that is not %s: %d %s", encoding, got.Status, got.Body)
		}
		short := compressed(t, encoding, addRequest)
		if got := s.infer("add", short[:len(short)/2], "Content-Encoding", encoding); got.Status != 400 {
			t.Errorf("half of %s: %d %s", encoding, got.Status, got.Body)
		}
		// The model takes 64 rows of two numbers in each of two inputs.
		bomb := compressed(t, encoding, strings.Repeat(" ", 3<<20))
		if got := s.infer("add", bomb, "Content-Encoding", encoding); got.Status != 413 || len(bomb) > 1<<16 {
			t.Errorf("a bomb of %d bytes: %d %s", len(bomb), got.Status, got.Body)
		}
	}
	for _, accept := range []string{"gzip;q=0", "identity", "br", "gzip; q=0.0, *;q=0"} {
		if got := s.infer("add", []byte(addRequest), "Accept-Encoding", accept); got.Header.Get("Content-Encoding") != "" || string(got.Body) != addResponse {
			t.Errorf("%s: %v", accept, got.Header)
		}
	}
	if got := s.infer("add", []byte(addRequest), "Content-Encoding", "br"); got.Status != 415 || !strings.Contains(got.Error, "allowed: gzip") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for _, path := range []string{"/v2", "/v2/models/add"} {
		r := s.request("GET", path, "", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		if got := s.do(r); got.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed", path)
		}
	}
}

func TestV2Errors(t *testing.T) {
	s := openV2(t)
	for name, c := range map[string]struct {
		model, body string
		headers     []string
		status      int
		says        string
	}{
		"an unknown model":           {"nope", addRequest, nil, 404, "Request for unknown model: 'nope' is not found"},
		"an unknown version":         {"add/versions/3", addRequest, nil, 404, "version 3"},
		"nothing":                    {"add", "", nil, 400, "the request is not an object"},
		"deep JSON":                  {"add", `{"x":` + strings.Repeat("[", 90000), nil, 400, "nested deeper than 64"},
		"a length that is no number": {"add", addRequest, []string{"Inference-Header-Content-Length", "x"}, 400, "allowed: one number"},
		"a length twice":             {"add", addRequest, []string{"Inference-Header-Content-Length", "1", "Inference-Header-Content-Length", "1"}, 400, "allowed: one number"},
		"a timeout of 1 µs":          {"add", strings.Replace(addRequest, `{"id"`, `{"parameters":{"timeout":1},"id"`, 1), nil, 504, "no response within 1µs"},
		"more than the model takes":  {"add", strings.Repeat(" ", 2<<20), nil, 413, "larger than the limit"},
		"a wrong shape":              {"add", strings.Replace(addRequest, "[1,2]", "[2,1]", 1), nil, 400, "Expected [-1,2], got [2,1]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.infer(c.model, []byte(c.body), c.headers...); got.Status != c.status || !strings.Contains(got.Error, c.says) || got.Code != "" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
	if got := s.infer("add", []byte(addRequest)); string(got.Body) != addResponse {
		t.Errorf("after them: %s", got.Body)
	}
	if n := s.server.admission.Bytes(); n != 0 || s.server.admission.Requests() != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

func TestV2BodiesAreBounded(t *testing.T) {
	s := openV2(t, func(c *Config, _ *engine) {
		c.BodyBudget, c.MaxBodyBytes, c.MaxImageBytes, c.ClientShare = 64<<10, 64<<10, 64<<10, 1
	})
	zeros := `{"inputs":[{"name":"x","shape":[15,1000],"datatype":"FP32","data":[` + strings.TrimSuffix(strings.Repeat("0,", 15000), ",") + `]}]}`
	got := s.infer("same", []byte(zeros)) // 30 KB, and 60 KB as float32
	if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("more than the budget: %d %s", got.Status, got.Body)
	}
	if got := s.infer("same", compressed(t, "gzip", zeros), "Content-Encoding", "gzip"); got.Status != http.StatusTooManyRequests {
		t.Errorf("compressed: %d %s", got.Status, got.Body)
	}
	if got := s.infer("add", []byte(addRequest)); got.Status != 200 {
		t.Errorf("after them: %d", got.Status)
	}
}
