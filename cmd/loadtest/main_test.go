package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
	"fovea/loadtest"
)

const model = "efficientnet-lite0"

// buildServer builds the real server and returns its path.
func buildServer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "serve")
	build := exec.Command("go", "build", "-tags=gocv_specific_modules", "-o", program, "fovea/cmd/serve")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// startServer runs a server with the models of a folder, and returns where it listens for HTTP, and for gRPC if args have it do so.
func startServer(t *testing.T, program, models string, args ...string) (address, grpc string) {
	t.Helper()
	server := exec.Command(program, append(args, "--repository.dir="+models, "--inference.device=cpu",
		"--inference.library="+testenv.ORTLibrary(t), "--http.address=127.0.0.1:0", "--log.format=json")...)
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	listening, listeningGRPC := make(chan string, 1), make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue
			}
			switch line.Msg {
			case "listening":
				listening <- line.Address
			case "listening for gRPC":
				listeningGRPC <- line.Address
			}
		}
	}()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-read
		_ = server.Wait()
	})
	timeout := time.After(time.Minute)
	wanted := []<-chan string{listening}
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--grpc.address=") }) {
		wanted = append(wanted, listeningGRPC)
	}
	found := make([]string, 2)
	for i, c := range wanted {
		select {
		case found[i] = <-c:
		case <-timeout:
			t.Fatal("the server does not listen")
		}
	}
	return found[0], found[1]
}

func waitReady(t *testing.T, client *http.Client, base string) {
	t.Helper()
	var state []byte
	for range 1200 {
		response, err := client.Get(base + "/ready")
		if err == nil {
			state, _ = io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the server does not become ready: %s", state)
}

// loadTest runs the program in this process.
func loadTest(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, problems strings.Builder
	status = run(t.Context(), args, &out, &problems)
	return status, out.String(), problems.String()
}

// checkLoadTest runs the program, checks its status and that its output has all parts, and returns the output.
func checkLoadTest(t *testing.T, args []string, status int, parts []string) (output string) {
	t.Helper()
	got, stdout, stderr := loadTest(t, args...)
	if got != status {
		t.Fatalf("status %d\n%s%s", got, stdout, stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stdout+stderr, part) {
			t.Errorf("%q is not in\n%s%s", part, stdout, stderr)
		}
	}
	return stdout + stderr
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAgainstTheRealServer(t *testing.T) {
	address, _ := startServer(t, buildServer(t), testenv.Models(t), "--inference.models="+model+":required")
	base := "http://" + address
	waitReady(t, http.DefaultClient, base)
	images := filepath.Join(testenv.Root(t), "testdata", "images")
	short := []string{"--server", base, "--images", images, "--warmup=100ms", "--window=200ms", "--window-count=5", "--max-windows=3", "--gpu=false"}
	right := write(t, "right.csv", "coffee.jpg,967\nrocket.jpg,657\n")
	wrong := write(t, "wrong.csv", "coffee.jpg,1\n")
	// Fovea as if it were another server: its JSON form by a template.
	form := write(t, "body.tmpl", `{"images":[{{range $i, $p := .Images}}{{if $i}},{{end}}{"b64":"{{$p.Base64}}"}{{end}}]}`)
	dir := t.TempDir()
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"raw bodies in a closed loop, with all outputs", []string{
			"--model=" + model, "--concurrency=1,2", "--expect=" + right, "--label=sweep",
			"--json=" + dir + "/sweep.json", "--csv=" + dir + "/sweep.csv", "--html=" + dir + "/sweep.html",
		}, 0, []string{"concurrency 1 ", "concurrency 2 ", "preprocess", "CPU ms/image"}},
		{"multipart in an open loop", []string{ // at a rate that a busy machine keeps up with too
			"--rate=2", "--arrivals=poisson", "--body=multipart", "--images-per-request=3", "--expect=" + right, "--json=" + dir + "/rate.json",
		}, 0, []string{"rate 2 "}},
		{"JSON", []string{"--concurrency=2", "--body=json", "--images-per-request=2", "--expect=" + right}, 0, []string{"json, 2 per request"}},
		{"as another server, by a template", []string{
			"--url=" + base + "/v1/models/" + model + "/predict", "--template=" + form, "--concurrency=1", "--expect=" + right,
			"--expect-at=predictions.0.top.0.class",
		}, 0, []string{"template, 1 per request"}},
		{"wrong classes miss the threshold of failures", []string{"--concurrency=1", "--expect=" + wrong}, 1, []string{"wrong class", "of the images failed; 0 % are allowed"}},
		{"thresholds out of reach", []string{"--concurrency=1", "--min-throughput=1e6", "--max-p99=1us"}, 1, []string{"is below 1e+06", "is above 0.001 ms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkLoadTest(t, slices.Concat(short, test.args), test.status, test.want)
		})
	}
	t.Run("the result files", func(t *testing.T) { checkFiles(t, dir) })
}

func checkFiles(t *testing.T, dir string) {
	r, err := readResult(filepath.Join(dir, "sweep.json"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Label != "sweep" || r.Target.Model != model || r.Target.Device != "cpu" || len(r.Levels) != 2 {
		t.Fatalf("got %+v", r)
	}
	for _, l := range r.Levels {
		if l.Failed > 0 || l.Requests == 0 || l.Server == nil || len(l.Server.Stages) != 5 || l.Server.BatchMean < 1 || l.Server.CPUMSPerImage == nil || len(l.Latency.Curve) == 0 {
			t.Errorf("%s: %+v", l.Name(), l)
		}
	}
	status, stdout, stderr := loadTest(t, "report", dir+"/sweep.json", "--html="+dir+"/again.html")
	if status != 0 || !strings.Contains(stdout, "concurrency 2") {
		t.Errorf("report: %d %s%s", status, stdout, stderr)
	}
	for _, name := range []string{"sweep.html", "again.html"} {
		if page, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(page), "<title>Load test: sweep</title>") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if lines, err := os.ReadFile(filepath.Join(dir, "sweep.csv")); err != nil || strings.Count(string(lines), "\n") != 3 {
		t.Errorf("CSV: %v\n%s", err, lines)
	}
	r.Label = ""
	r.Levels[0].Throughput /= 2
	if err := toFile(io.Discard, filepath.Join(dir, "slower.json"), r.Write); err != nil {
		t.Fatal(err)
	}
	r.Levels, r.Load.ImagesPerRequest = r.Levels[1:], 2
	if err := toFile(io.Discard, filepath.Join(dir, "other.json"), r.Write); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"compare", dir + "/sweep.json", dir + "/slower.json", "--html=" + dir + "/both.html"}, 0, "0.50"},
		{[]string{"compare", dir + "/sweep.json", dir + "/slower.json", "--max-loss=10"}, 1, "slower: concurrency 1: throughput"},
		{[]string{"compare", dir + "/sweep.json", dir + "/slower.json", "--max-loss=60"}, 0, ""},
		{[]string{"compare", dir + "/sweep.json", dir + "/other.json", "--max-loss=60"}, 1, "concurrency 1: not measured"},
		{[]string{"compare", dir + "/sweep.json", dir + "/other.json"}, 0, "note: other was measured differently from sweep: images per request: 2 instead of 1"},
		{[]string{"compare", dir + "/sweep.json", dir + "/rate.json"}, 2, "in common"},
		{[]string{"compare", dir + "/sweep.json", dir + "/sweep.csv", "/no/such"}, 2, "/no/such"},
		{[]string{"compare", dir + "/sweep.json"}, 2, "at least 2"},
		{[]string{"compare", dir + "/sweep.json", dir + "/slower.json", "--max-loss=2000"}, 2, "max-loss: 2000 is out of range (0–1000)"},
	} {
		status, stdout, stderr := loadTest(t, test.args...)
		if status != test.status || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%q: %d\n%s%s", test.args, status, stdout, stderr)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	images := "--images=" + filepath.Join(testenv.Root(t), "testdata", "images")
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"no server", []string{images, "--server=http://127.0.0.1:1"}, []string{"the server does not respond"}},
		{"an unknown flag", []string{"--speed=11"}, []string{"unknown flag"}},
		{"an argument too many", []string{"now"}, []string{"unknown command"}},
		{"all errors together", []string{
			"--concurrency=a", "--body=xml", "--header=x", "--template=/no/such", "--expect=/no/such", "--min-rate=1", "--html=/no/such/x", "--json=/",
			"--window=0s", "--max-error-rate=3",
		}, []string{"concurrency: \"a\"", "body: ", "header: ", "template: ", "expect: ", "min-rate: ", "html: ", "json: / is a folder", "window: ", "max-error-rate: "}},
		{"levels of two kinds", []string{"--concurrency=1", "--rate=5", "--p99-below=50ms"}, []string{"--concurrency: give only one", "--rate: give only one"}},
		{"a rate that is no number", []string{"--rate=5,x"}, []string{`rate: "x"`}},
		{"a rate below zero", []string{"--rate=-5"}, []string{"rate: -5 is out of range (0.1–1000000)"}},
		{"a p99 limit above the timeout", []string{"--p99-below=1m"}, []string{"p99-below: 1m is not below"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := loadTest(t, test.args...)
			if status != exitFailed || stdout != "" {
				t.Errorf("status %d, %q", status, stdout)
			}
			for _, part := range test.want {
				if !strings.Contains(stderr, part) {
					t.Errorf("%q is not in\n%s", part, stderr)
				}
			}
		})
	}
}

func TestInterruptIsReported(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	status := run(ctx, []string{"--url=" + server.URL, "--images=" + filepath.Join(testenv.Root(t), "testdata", "images")}, &stdout, &stderr)
	if status != exitFailed || stderr.String() != "loadtest: interrupted\n" {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

func TestLevelsOfConcurrency(t *testing.T) {
	for text, want := range map[string]string{
		"1": "[1]", "1,4, 16": "[1 4 16]", "1..32": "[1 2 4 8 16 32]", "3..20": "[3 6 12 20]", "5..5": "[5]",
		"": "error", "1,": "error", "9..1": "error", "..": "error", "0..4": "error", "1..x": "error", "1..9999999999": "error",
	} {
		var got loadtest.Levels
		err := got.UnmarshalText([]byte(text))
		if shown := fmt.Sprint(got); (err != nil) != (want == "error") || err == nil && shown != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestVersion(t *testing.T) {
	if status, stdout, stderr := loadTest(t, "--version"); status != 0 || stdout != "loadtest version dev\n" {
		t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
	}
}
