package main

import (
	"crypto/tls"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
	"fovea/loadtest"
)

// newRepository makes a folder with the default model, and the model tensors, which has no task and returns its inputs.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, model), os.DirFS(filepath.Join(testenv.Models(t), model))); err != nil {
		t.Fatal(err)
	}
	m := &onnxwriter.Model{}
	for name, dtype := range map[string]onnxwriter.Type{"flags": onnxwriter.Bool, "ids": onnxwriter.Int64, "texts": onnxwriter.String} {
		m.Input(name, dtype, "n", 3)
		m.Node("Identity", name+"_out", nil, name)
		m.Output(name+"_out", dtype, "n", 3)
	}
	m.Input("open", onnxwriter.Float, "n", "k")
	m.Node("Identity", "open_out", nil, "open")
	m.Output("open_out", onnxwriter.Float, "n", "k")
	for name, data := range map[string][]byte{"model.yaml": []byte("task: none\n"), "1/model.onnx": m.Bytes()} {
		path := filepath.Join(dir, "tensors", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The Open Inference Protocol, with TLS and keys.
func TestV2AgainstTheRealServer(t *testing.T) {
	program, ca, dir := buildServer(t), testenv.NewCA(t), t.TempDir()
	certificate, privateKey := ca.Files(dir, "server")
	keys := filepath.Join(dir, "keys.yaml")
	key, err := exec.Command(program, "keys", "new", "load", "--http.keys="+keys).Output()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := write(t, "key", string(key))
	address, grpc := startServer(t, program, newRepository(t), "--inference.models="+model+":required,tensors:required", "--grpc.address=127.0.0.1:0",
		"--inference.default="+model, "--http.keys="+keys, "--http.tls.certificate="+certificate, "--http.tls.key="+privateKey)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, DisableKeepAlives: true}}
	waitReady(t, client, "https://"+address)

	short := []string{"--server=https://" + address, "--grpc-url=https://" + grpc, "--images=" + filepath.Join(testenv.Root(t), "testdata", "images"),
		"--warmup=0s", "--window=100ms", "--window-count=3", "--max-windows=3", "--gpu=false", "--concurrency=2"}
	withCA, withKey := "--ca-file="+ca.File(dir), "--api-key-file="+keyFile
	for _, test := range []struct {
		name   string
		args   []string
		key    string // in the environment
		status int
		want   []string
	}{
		{"v1", []string{withCA, withKey, "--json=" + dir + "/v1.json"}, "", 0, []string{"raw, 1 per request"}},
		{"v2-http, images", []string{withCA, withKey, "--protocol=v2-http", "--json=" + dir + "/http.json"}, "", 0,
			[]string{"/v2/models/" + model + ".image/infer · version 1 · 4 images", "v2-http, 1 per request", "decode", "CPU ms/image"}},
		{"v2-grpc, images, the key in the environment", []string{withCA, "--protocol=v2-grpc", "--json=" + dir + "/grpc.json"}, string(key), 0,
			[]string{grpc + "/inference.GRPCInferenceService/ModelInfer", "v2-grpc, 1 per request", "decode"}},
		{"v2-http, several images", []string{withCA, withKey, "--protocol=v2-http", "--images-per-request=3"}, "", 0, []string{"3 per request"}},
		{"v2-grpc, several images", []string{withCA, withKey, "--protocol=v2-grpc", "--images-per-request=3"}, "", 0, []string{"3 per request"}},
		{"v2-http, random tensors", []string{withCA, withKey, "--protocol=v2-http", "--input=random", "--json=" + dir + "/tensors.json"}, "", 0,
			[]string{"/v2/models/" + model + "/infer", "random tensors of 588.0 KiB per row, v2-http", "infer"}},
		{"v2-grpc, zeros", []string{withCA, withKey, "--protocol=v2-grpc", "--input=zero", "--images-per-request=2"}, "", 0,
			[]string{"zero tensors of 588.0 KiB per row, v2-grpc, 2 per request"}},
		{"v2-http, inputs of many types", []string{withCA, withKey, "--protocol=v2-http", "--input=random", "--model=tensors", "--shape=open:2,7", "--images-per-request=2"}, "", 0, nil},
		{"v2-grpc, inputs of many types", []string{withCA, withKey, "--protocol=v2-grpc", "--input=zero", "--model=tensors", "--shape=open:1,7"}, "", 0, nil},
		{"an open size", []string{withCA, withKey, "--protocol=v2-grpc", "--input=zero", "--model=tensors"}, "", 2, []string{"shape: the input open has the shape [-1 -1]"}},
		{"a shape that the server refuses", []string{withCA, withKey, "--protocol=v2-grpc", "--input=zero", "--model=tensors", "--shape=open:1,7", "--shape=ids:1,2"}, "", 2,
			[]string{"INVALID_ARGUMENT: unexpected shape for input 'ids'"}},
		{"images for a model without a task", []string{withCA, withKey, "--protocol=v2-grpc", "--model=tensors"}, "", 2, []string{"HTTP 404", "use input random or zero"}},
		{"no key", []string{withCA}, "", 2, []string{"HTTP 401"}},
		{"a wrong key over gRPC", []string{withCA, "--protocol=v2-grpc"}, "wrong", 2, []string{"HTTP 401"}},
		{"a header instead of the environment's key", []string{withCA, "--header=X-API-Key: " + string(key)}, "wrong", 0, nil},
		{"a server of an unknown authority", []string{withKey}, "", 2, []string{"certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(keyVariable, test.key)
			output := checkLoadTest(t, slices.Concat(short, test.args), test.status, test.want)
			if secret := strings.TrimSpace(string(key)); strings.Contains(output, secret) {
				t.Error("the output has the key")
			}
		})
	}
	status, stdout, stderr := loadTest(t, "compare", dir+"/v1.json", dir+"/http.json", dir+"/grpc.json", dir+"/tensors.json")
	for _, part := range []string{"protocol: v2-http instead of v1", "protocol: v2-grpc instead of v1", "input: random instead of images"} {
		if status != 0 || !strings.Contains(stdout, part) {
			t.Errorf("compare: %d, %q is not in\n%s%s", status, part, stdout, stderr)
		}
	}
	if strings.Contains(stdout, "body: ") || strings.Contains(stdout, "server: ") {
		t.Errorf("compare:\n%s", stdout)
	}
	if r, err := readResult(dir + "/grpc.json"); err != nil || r.Load.Protocol != loadtest.V2GRPC || r.Levels[0].Server == nil || r.Levels[0].AllFailed() > 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestKeysAndCertificatesAreChecked(t *testing.T) {
	good := write(t, "good", "fov_key\n")
	for _, test := range []struct {
		name string
		args []string
		key  string
		want string
	}{
		{"no such key file", []string{"--api-key-file=/no/such"}, "", "api-key-file: "},
		{"an empty key file", []string{"--api-key-file=" + write(t, "empty", "\n")}, "", "is empty"},
		{"two keys", []string{"--api-key-file=" + write(t, "two", "secret-1\nsecret-2\n")}, "", "does not hold one key alone"},
		{"two keys in the environment", nil, "secret-1 secret-2", "FOVEA_API_KEY does not hold one key alone"},
		{"a key and a header", []string{"--api-key-file=" + good, "--header=authorization: Bearer secret-1"}, "", "give only one of api-key-file and a header"},
		{"no such CA file", []string{"--ca-file=/no/such"}, "", "ca-file: "},
		{"a CA file without a certificate", []string{"--ca-file=" + good}, "", "has no certificate"},
	} {
		t.Setenv(keyVariable, test.key)
		status, stdout, stderr := loadTest(t, append(test.args, "--server=http://127.0.0.1:1")...)
		if status != exitFailed || !strings.Contains(stderr, test.want) || strings.Contains(stdout+stderr, "secret-") {
			t.Errorf("%s: %d, %s%s", test.name, status, stdout, stderr)
		}
	}
}

func TestTheKeyOfTheEnvironmentGoesToNoOtherServer(t *testing.T) {
	var got atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got.Store(r.Header.Get("Authorization")) }))
	defer server.Close()
	t.Setenv(keyVariable, "environment")
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"--api-key-file=" + write(t, "key", "file\n")}, "Bearer file"},
		{[]string{"--header=Authorization: Basic x"}, "Basic x"},
	} {
		status, _, stderr := loadTest(t, append(test.args, "--url="+server.URL, "--images="+filepath.Join(testenv.Root(t), "testdata", "images"), "--gpu=false",
			"--concurrency=1", "--warmup=0s", "--window=10ms", "--window-count=1")...)
		if status != 0 || got.Load() != test.want {
			t.Errorf("%q: %d, %q, %s", test.args, status, got.Load(), stderr)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

func TestHelpIsGolden(t *testing.T) {
	_, got, _ := loadTest(t, "--help")
	const file = "testdata/help.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != got {
		t.Errorf("%s (go test -update writes it): %v\ngot\n%s", file, err, got)
	}
}
