package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/repository"
	"fovea/internal/testenv"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// good is a definition without a source.
const good = `
task: classification
input: {width: 224, height: 224}
output: {decode: softmax}
`

// write makes a folder of files; a name with a slash at the end is a folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func hashOf(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// weights are the bytes that the tests download.
var weights = func() []byte {
	b := make([]byte, 300_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}()

// origin makes a repository with one model, m, whose source is address.
func origin(t *testing.T, address string, content []byte) string {
	t.Helper()
	return write(t, map[string]string{"m/model.yaml": fmt.Sprintf("%ssource: {url: %q, sha256: %s, size: %d, version: 3}\n",
		good, address, hashOf(content), len(content))})
}

func pulled(t *testing.T, dir string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "m", "3", "model.onnx"))
	if err != nil || !bytes.Equal(got, weights) {
		t.Errorf("model.onnx has %d bytes, error %v; want the %d served", len(got), err, len(weights))
	}
	if isFile(filepath.Join(dir, "m", "3", "model.onnx.part")) {
		t.Error("the part is still there")
	}
}

// serveWeights serves the bytes with ranges and an ETag.
func serveWeights(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"1"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(weights))
}

// cut serves as handler does but drops the connection after n bytes of body, every time that while says so.
func cut(n int, while func() bool, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if while() {
			w = &cutter{w, n}
		}
		handler(w, r)
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func always() bool { return true }

func server(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	return s
}

func pull(t *testing.T, dir string, s *httptest.Server, o PullOptions) error {
	t.Helper()
	o.Dir, o.Name = dir, "m"
	if s != nil {
		o.Transport = s.Client().Transport
	}
	return Pull(t.Context(), o)
}

func TestPullFromTheSource(t *testing.T) {
	s := server(t, serveWeights)
	dir := origin(t, s.URL+"/w.onnx", weights)
	var said bytes.Buffer
	if err := pull(t, dir, s, PullOptions{Progress: &said}); err != nil {
		t.Fatal(err)
	}
	pulled(t, dir)
	if said.String() != "m: done: "+filepath.Join(dir, "m", "3", "model.onnx")+"\n" {
		t.Errorf("progress is %q", said.String())
	}
}

func TestPullAgainFetchesNothing(t *testing.T) {
	var asked atomic.Int32
	s := server(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); serveWeights(w, r) })
	dir := origin(t, s.URL, weights)
	for range 2 {
		if err := pull(t, dir, s, PullOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestPullResumesAfterInterruptions(t *testing.T) {
	var ranges []string
	s := server(t, cut(100_000, always, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
		serveWeights(w, r)
	}))
	dir := origin(t, s.URL, weights)
	if err := pull(t, dir, s, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	pulled(t, dir)
	if len(ranges) < 3 || ranges[0] != " " || !strings.HasPrefix(ranges[1], "bytes=") || !strings.HasSuffix(ranges[1], `- "1"`) {
		t.Errorf("asked for %q; want the rest after each cut, if it has the same tag", ranges)
	}
}

func TestPullResumesAnEarlierOne(t *testing.T) {
	for name, c := range map[string]struct {
		left    []byte
		handler http.HandlerFunc
	}{
		"with ranges":                      {weights[:1000], serveWeights},
		"without ranges":                   {weights[:1000], func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(weights) }},
		"a part that is whole":             {weights, func(w http.ResponseWriter, r *http.Request) { t.Error("nothing is missing"); w.WriteHeader(404) }},
		"a part of another file":           {bytes.Repeat([]byte("x"), 1000), serveWeights},
		"a part larger than the file":      {append(bytes.Clone(weights), 1, 2, 3), serveWeights},
		"a server that sends another part": {weights[:1000], otherRange},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, c.handler)
			dir := origin(t, s.URL, weights)
			folder := filepath.Join(dir, "m", "3")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "model.onnx.part"), c.left, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := pull(t, dir, s, PullOptions{}); err != nil {
				t.Fatal(err)
			}
			pulled(t, dir)
		})
	}
}

// TestPullStartsOverOnce has a wrong part, and a server with a wrong file.
func TestPullStartsOverOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var requests atomic.Int32
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) > 2 {
			cancel()
		}
		_, _ = w.Write(make([]byte, len(weights)))
	})
	dir := origin(t, s.URL, weights)
	folder := filepath.Join(dir, "m", "3")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "model.onnx.part"), weights[:1000], 0o644); err != nil {
		t.Fatal(err)
	}
	err := Pull(ctx, PullOptions{Dir: dir, Name: "m", Transport: s.Client().Transport})
	if err == nil || !strings.Contains(err.Error(), "its SHA-256 is") || requests.Load() != 2 {
		t.Errorf("%d requests, error %v", requests.Load(), err)
	}
}

// otherRange responds to every range with a different one.
func otherRange(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		r.Header.Set("Range", "bytes=7-")
	}
	serveWeights(w, r)
}

func TestPullRefuses(t *testing.T) {
	text := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte(body)) }
	}
	wrong := bytes.Clone(weights)
	wrong[12345]++
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a wrong file":             {func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(wrong) }, "its SHA-256 is"},
		"a file of another length": {text(200, "short"), "has 5 bytes; the definition says 300000"},
		"a file without end": {func(w http.ResponseWriter, r *http.Request) {
			for range 100 { // chunked, without a length
				_, _ = w.Write(weights)
			}
		}, "more than the expected 300000 bytes"},
		"an address that is gone":   {text(404, ""), "returned 404"},
		"an address that is closed": {text(403, ""), "returned 403"},
		"a redirect to http": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/w.onnx", http.StatusFound)
		}, "which is not https"},
		"redirects without end": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}, "more than 10 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, c.handler)
			dir := origin(t, s.URL, weights)
			err := pull(t, dir, s, PullOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "pull m: ") {
				t.Errorf("error is %v; want %q", err, c.want)
			}
			if entry, err := repository.Open(dir).Load("m"); err != nil || len(entry.Versions) != 0 {
				t.Errorf("weights appeared: %+v, %v", entry, err)
			}
		})
	}
}

func TestPullStopsOnCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := server(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	dir := origin(t, s.URL, weights)
	err := Pull(ctx, PullOptions{Dir: dir, Name: "m", Transport: s.Client().Transport})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// An answer may still arrive after the context has ended, here one of the wrong size.
func TestCanceledPullReportsTheCause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	late := roundTripper(func(r *http.Request) (*http.Response, error) {
		cancel()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})
	err := Pull(ctx, PullOptions{Dir: origin(t, "https://127.0.0.1:9/", weights), Name: "m", Transport: late})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestPullKeepsWeightsThatDiffer(t *testing.T) {
	dir := origin(t, "https://127.0.0.1:9/", weights)
	target := filepath.Join(dir, "m", "3", "model.onnx")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := pull(t, dir, nil, PullOptions{})
	if err == nil || !strings.Contains(err.Error(), "remove it first") {
		t.Errorf("error is %v", err)
	}
	if data, _ := os.ReadFile(target); string(data) != "mine" {
		t.Error("the file was touched")
	}
}

func TestPullsOfOneModelWaitForEachOther(t *testing.T) {
	var inside, most, asked atomic.Int32
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		asked.Add(1)
		serveWeights(w, r)
	})
	dir := origin(t, s.URL, weights)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := pull(t, dir, s, PullOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pulled(t, dir)
	if most.Load() != 1 || asked.Load() != 1 {
		t.Errorf("%d downloads at once, %d in all; want one", most.Load(), asked.Load())
	}
}

func TestPullInstallsAShippedDefinition(t *testing.T) {
	dir := t.TempDir()
	err := Pull(t.Context(), PullOptions{Dir: dir, Name: "squeezenet-fp32", Mirror: t.TempDir()})
	if err == nil {
		t.Fatal("weights came from an empty mirror")
	}
	if entry, err := repository.Open(dir).Load("squeezenet-fp32"); err != nil || len(entry.Definition.Labels) != 1000 {
		t.Errorf("entry %+v, error %v", entry, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Every shipped model that a folder of real weights has is pulled from it and is then ready to serve.
func TestPullShippedModelsFromAMirrorFolder(t *testing.T) {
	mirror, ok := testenv.SharedModels(t)
	if !ok {
		mirror = t.TempDir() // of the default model alone
		weights := filepath.Join(testenv.Models(t), "efficientnet-lite0", "1", ModelFile)
		if err := os.Symlink(weights, filepath.Join(mirror, "efficientnet-lite0.onnx")); err != nil {
			t.Fatal(err)
		}
	}
	dir, pulled := t.TempDir(), 0
	for _, name := range repository.Shipped() {
		if !isFile(filepath.Join(mirror, name+".onnx")) {
			continue
		}
		if err := Pull(t.Context(), PullOptions{Dir: dir, Name: name, Mirror: mirror}); err != nil {
			t.Error(err)
			continue
		}
		entry, err := repository.Open(dir).Load(name)
		if err != nil || len(entry.Serve(nil)) != 1 || len(entry.Definition.Labels) == 0 {
			t.Errorf("%s: entry %+v, error %v", name, entry, err)
		}
		pulled++
	}
	if names, err := repository.Open(dir).Names(); err != nil || pulled == 0 || len(names) != pulled {
		t.Errorf("pulled %d, the repository has %v, error %v", pulled, names, err)
	}
}
