package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// addModel is a small model whose weights are in files of external data at the locations given.
func addModel(locations ...string) []byte {
	m := onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3)
	for i, location := range locations {
		name := string(rune('a' + i))
		m.Floats(name, make([]float32, 3), 3)
		m.Weights[i].External = []string{"location", location, "offset", "0", "length", "12"}
		m.Node("Add", "y"+name, nil, "x", name)
		m.Output("y"+name, onnxwriter.Float, "n", 3)
	}
	if len(locations) == 0 {
		m.Node("Relu", "y", nil, "x")
		m.Output("y", onnxwriter.Float, "n", 3)
	}
	return m.Bytes()
}

const externalData = "twelve bytes"

// files are the contents of a source, by name.
type files map[string]string

// ServeHTTP serves the files with ranges and ETags.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, ok := f[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+hashOf([]byte(content))+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

func parsed(t *testing.T, text string) Source {
	t.Helper()
	src, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// got checks that a folder has exactly these files and that the result describes them.
func got(t *testing.T, dir string, r *Result, want files) {
	t.Helper()
	found := map[string]bool{}
	for i, f := range r.Files {
		content, ok := want[f.Path]
		data, err := os.ReadFile(filepath.Join(dir, f.Path))
		if !ok || err != nil || string(data) != content {
			t.Errorf("%s has %d bytes, error %v; want the %d of the source (wanted: %v)", f.Path, len(data), err, len(content), ok)
		}
		if f.SHA256 != hashOf([]byte(content)) || f.Size != int64(len(content)) {
			t.Errorf("%s is described as %+v", f.Path, f)
		}
		if i == 0 && f.Path != ModelFile {
			t.Errorf("the first file is %s", f.Path)
		}
		found[f.Path] = true
	}
	for name := range want {
		if !found[name] {
			t.Errorf("%s is not in the result", name)
		}
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); err == nil && !e.IsDir() && !found[name] {
			t.Errorf("%s was left in the folder", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGetFromTheWeb(t *testing.T) {
	model := string(addModel("weights/a.bin", "b.bin"))
	s := httptest.NewTLSServer(files{"x/best.onnx": model, "x/weights/a.bin": externalData, "x/b.bin": externalData, "x/config.json": "{}"})
	defer s.Close()
	dir := filepath.Join(t.TempDir(), "new")
	var said bytes.Buffer
	r, err := Get(t.Context(), parsed(t, s.URL+"/x/best.onnx"), Options{Dir: dir, Transport: s.Client().Transport, Progress: &said})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "weights/a.bin": externalData, "b.bin": externalData})
	if d := r.Definition(); d.URL != s.URL+"/x/best.onnx" || d.Files[1].URL != s.URL+"/x/weights/a.bin" || d.SHA256 != hashOf([]byte(model)) {
		t.Errorf("the definition's source is %+v", d)
	}
	if said.String() != "fetched model.onnx, b.bin, weights/a.bin: 0.0 MB\n" { // at once, and without the folder, which may be a temporary one
		t.Errorf("progress is %q", said.String())
	}
}

func TestGetFromThisMachine(t *testing.T) {
	model := string(addModel("w.bin"))
	dir := write(t, files{"best.onnx": model, "w.bin": externalData, "labels.txt": "a\nb", "other.txt": "x", "sub/config.json": "{}"})
	want := files{"model.onnx": model, "w.bin": externalData, "labels.txt": "a\nb"}
	for name, src := range map[string]string{"a file": dir + "/best.onnx", "a folder": dir, "an address": "file://" + dir} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			r, err := Get(t.Context(), parsed(t, src), Options{Dir: to})
			if err != nil {
				t.Fatal(err)
			}
			got(t, to, r, want)
			if r.Files[0].URL != "" || r.Definition().URL != "" {
				t.Errorf("a local path is recorded: %+v", r.Files[0])
			}
		})
	}
}

// TestGetFromTheCacheOfHuggingFace has a folder whose files are links, as huggingface_hub keeps them.
func TestGetFromTheCacheOfHuggingFace(t *testing.T) {
	model := string(addModel())
	dir := write(t, files{"models--o--r/blobs/1234": model, "models--o--r/snapshots/abc/config.json": "{}", "secret": "x"})
	snapshot := filepath.Join(dir, "models--o--r", "snapshots", "abc")
	if err := os.Symlink("../../blobs/1234", filepath.Join(snapshot, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	r, err := Get(t.Context(), parsed(t, snapshot), Options{Dir: to})
	if err != nil {
		t.Fatal(err)
	}
	got(t, to, r, files{"model.onnx": model, "config.json": "{}"})
	if err := os.Symlink("../../../secret", filepath.Join(snapshot, "labels.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := Get(t.Context(), parsed(t, snapshot), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "labels.txt is a link to") {
		t.Errorf("error is %v", err)
	}
}

func TestChoiceOfTheModel(t *testing.T) {
	model := string(addModel())
	for name, c := range map[string]struct {
		files files
		want  string // the name of the model in the source, or an error
	}{
		"model.onnx among others":         {files{"a.onnx": "", "model.onnx": model, "onnx/model.onnx": ""}, "model.onnx"},
		"the folder of Optimum":           {files{"a.onnx": "", "onnx/model.onnx": model, "onnx/model_int8.onnx": ""}, "onnx/model.onnx"},
		"the image of KServe":             {files{"models/model.onnx": model, "b/a.onnx": ""}, "models/model.onnx"},
		"the only ONNX file":              {files{"deep/in/Best.ONNX": model, "deep/x.pt": ""}, "deep/in/Best.ONNX"},
		"several":                         {files{"a.onnx": "", "b/c.onnx": ""}, "it has 2 ONNX files; name one of them: DIR/a.onnx, DIR/b/c.onnx"},
		"a checkpoint that is not ONNX":   {files{"best.pt": "", "x.txt": ""}, "it has no .onnx file; export the model to ONNX. It has best.pt, x.txt"},
		"an empty folder":                 {files{"x/": ""}, "it has no files"},
		"a file that is not ONNX":         {files{"model.onnx": "<!DOCTYPE html><html>"}, "HTML"},
		"external data that is missing":   {files{"model.onnx": string(addModel("w.bin"))}, `model.onnx has weights in "w.bin", which is not next to it`},
		"external data that is too short": {files{"model.onnx": string(addModel("w.bin")), "w.bin": "short"}, "has 5 bytes, and the model needs 12"},
		"external data elsewhere":         {files{"model.onnx": string(addModel("../w.bin"))}, "cannot be a file next to it"},
		"external data in the model":      {files{"model.onnx": string(addModel("model.onnx"))}, "cannot be a file next to it"},
		"external data named as a part":   {files{"model.onnx": string(addModel("model.onnx.part"))}, "cannot be a file next to it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, to := write(t, c.files), t.TempDir()
			r, err := Get(t.Context(), parsed(t, dir), Options{Dir: to})
			if _, wanted := c.files[c.want]; wanted {
				if err != nil || r.Files[0].Name != c.want {
					t.Errorf("result %+v, error %v", r, err)
				}
				return
			}
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
			if isFile(filepath.Join(to, ModelFile)) {
				t.Error("a model was installed")
			}
		})
	}
}

func TestGetEnforcesHashes(t *testing.T) {
	model := string(addModel())
	dir := write(t, files{"model.onnx": model, "config.json": "{}"})
	right := map[string]string{"model.onnx": hashOf([]byte(model)), "config.json": hashOf([]byte("{}"))}
	to := t.TempDir()
	for range 2 { // the second time the files are there
		r, err := Get(t.Context(), parsed(t, dir), Options{Dir: to, Expect: right})
		if err != nil {
			t.Fatal(err)
		}
		got(t, to, r, files{"model.onnx": model, "config.json": "{}"})
	}
	for name, expect := range map[string]map[string]string{
		"its SHA-256 is":                  {"model.onnx": right["model.onnx"], "config.json": strings.Repeat("0", 64)},
		"does not have labels.txt, which": {"labels.txt": strings.Repeat("0", 64)},
	} {
		to := t.TempDir()
		if _, err := Get(t.Context(), parsed(t, dir), Options{Dir: to, Expect: expect}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want %q", err, name)
		}
		if isFile(filepath.Join(to, ModelFile)) {
			t.Error("a model was installed")
		}
	}
}

// TestGetOfAFileThatChanges interrupts a download and changes the file before it is resumed. Its hash is unknown, so only the tag
// can tell.
func TestGetOfAFileThatChanges(t *testing.T) {
	first, second := string(addModel()), string(addModel("w.bin"))
	for name, c := range map[string]struct {
		tags           [2]string
		ignoresIfRange bool
	}{
		"strong tags":                         {[2]string{`"1"`, `"2"`}, false},
		"weak tags":                           {[2]string{`W/"1"`, `W/"1"`}, false},
		"no tags":                             {[2]string{"", ""}, false},
		"a server that ignores the condition": {[2]string{`"1"`, `"2"`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "w.bin") {
					_, _ = io.WriteString(w, externalData)
					return
				}
				requests++
				content, tag := second, c.tags[1]
				if requests == 1 {
					content, tag = first, c.tags[0]
					w = &cutter{w, 20}
				}
				if tag != "" {
					w.Header().Set("ETag", tag)
				}
				if c.ignoresIfRange {
					r.Header.Del("If-Range")
				}
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
			}))
			defer s.Close()
			dir := t.TempDir()
			r, err := Get(t.Context(), parsed(t, s.URL+"/m.onnx"), Options{Dir: dir, Transport: s.Client().Transport})
			if err != nil {
				t.Fatal(err)
			}
			got(t, dir, r, files{"model.onnx": second, "w.bin": externalData})
		})
	}
}

// TestGetResumesAnEarlierOne cancels a Get in the middle of a file; the next one asks for the rest if the file is still the same.
func TestGetResumesAnEarlierOne(t *testing.T) {
	model := string(addModel("w.bin"))
	data := string(weights)
	for name, c := range map[string]struct{ tag, want string }{
		"the same file":        {`"1"`, "bytes=100000-"},
		"a file without a tag": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var ranges []string
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				content := model
				if strings.HasSuffix(r.URL.Path, "w.bin") {
					content = data
					if ranges = append(ranges, r.Header.Get("Range")); len(ranges) == 1 {
						w = &cutter{w, 100_000}
					}
				}
				if c.tag != "" {
					w.Header().Set("ETag", c.tag)
				}
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
			}))
			defer s.Close()
			dir, src := t.TempDir(), parsed(t, s.URL+"/m.onnx")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := writer(func(line string) {
				if strings.Contains(line, "retrying") {
					cancel()
				}
			})
			if _, err := Get(ctx, src, Options{Dir: dir, Transport: s.Client().Transport, Progress: stop}); !errors.Is(err, context.Canceled) {
				t.Fatalf("error is %v", err)
			}
			r, err := Get(t.Context(), src, Options{Dir: dir, Transport: s.Client().Transport})
			if err != nil {
				t.Fatal(err)
			}
			got(t, dir, r, files{"model.onnx": model, "w.bin": data})
			if !slices.Equal(ranges, []string{"", c.want}) {
				t.Errorf("ranges are %q, want %q", ranges, c.want)
			}
		})
	}
}

type writer func(line string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

// TestAddressesThatGrantAccessAreNotShown has a server that redirects to addresses with a secret in them, which fail in several ways.
func TestAddressesThatGrantAccessAreNotShown(t *testing.T) {
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Referer() != "" {
			t.Errorf("the referer is %s", r.Referer())
		}
		switch r.URL.Path {
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "/closed":
			panic(http.ErrAbortHandler)
		case "/plain":
			http.Redirect(w, r, "http://other.example/x?sig=SECRET", http.StatusFound)
		default:
			http.Redirect(w, r, s.URL+"/"+r.URL.Query().Get("to")+"?sig=SECRET", http.StatusFound)
		}
	}))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, to := range []string{"forbidden", "closed", "plain", "again"} {
		ctx, cancel := context.WithCancel(t.Context())
		var said bytes.Buffer
		progress := io.MultiWriter(&said, writer(func(line string) {
			if strings.Contains(line, "retrying in 2s") {
				cancel()
			}
		}))
		_, err := Get(ctx, parsed(t, s.URL+"/m.onnx?to="+to+"&token=SECRET"), Options{Dir: t.TempDir(), Transport: s.Client().Transport, Progress: progress})
		cancel()
		if err == nil || strings.Contains(err.Error()+said.String(), "SECRET") {
			t.Errorf("%s: error %v, progress %q", to, err, said.String())
		}
	}
}

func TestGetRefusesLargeFiles(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(int64(repository.MaxFetched)+1))
		w.WriteHeader(http.StatusOK)
	}))
	defer s.Close()
	_, err := Get(t.Context(), parsed(t, s.URL+"/m.onnx"), Options{Dir: t.TempDir(), Transport: s.Client().Transport})
	if err == nil || !strings.Contains(err.Error(), "it has 17179869185 bytes; the limit is 17179869184") {
		t.Errorf("error is %v", err)
	}
	dir := write(t, files{"model.onnx": string(addModel()), "config.json": strings.Repeat(" ", maxCompanion+1)})
	if _, err := Get(t.Context(), parsed(t, dir), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "config.json: it has 8388609 bytes; the limit is 8388608") {
		t.Errorf("error is %v", err)
	}
}
