package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/postprocess"
)

// colors is the definition of the tiny classifiers in testdata; more is appended to it.
const colors = `task: classification
labels: labels.txt
input: {width: 8, height: 8, scale: 0.00392156862745098}
output: {decode: softmax, top_k: 3}
`

// testRepository is a model repository in a folder of the test.
type testRepository struct {
	t   testing.TB
	dir string
}

func newRepository(t testing.TB) *testRepository { return &testRepository{t, t.TempDir()} }

// define writes a model's definition.
func (r *testRepository) define(name, definition string) *testRepository {
	r.t.Helper()
	r.write(filepath.Join(name, "labels.txt"), []byte("red\ngreen\nblue\n"))
	r.write(filepath.Join(name, "model.yaml"), []byte(definition))
	return r
}

// add puts a file of testdata in place as a version.
func (r *testRepository) add(name string, version int, file string) *testRepository {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file+".onnx"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join(name, fmt.Sprint(version), "model.onnx"), data)
	return r
}

func (r *testRepository) write(name string, data []byte) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testRepository) remove(name string) {
	r.t.Helper()
	if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

// engine makes an engine over the repository on the CPU and closes it at the end of the test.
func (r *testRepository) engine(change func(*Config)) *Engine {
	r.t.Helper()
	return newTestEngine(r.t, r.dir, change)
}

func newTestEngine(t testing.TB, dir string, change func(*Config)) *Engine {
	t.Helper()
	cfg := Defaults()
	cfg.Library, cfg.Device = testenv.ORTLibrary(t), "cpu"
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg, repository.Open(dir), nil, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	e.shared.newRunner = newTestRunner
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		err := e.Close(ctx)
		for errors.Is(err, ErrComputing) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
			err = e.Close(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return e
}

// synced is an engine that has loaded all there is.
func (r *testRepository) synced(change func(*Config)) *Engine {
	r.t.Helper()
	e := r.engine(change)
	if err := e.Sync(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// plain is a PNG of one color.
func plain(t testing.TB, c color.Color, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stripes is a PNG of 6×1 pixels of which the first n are white, the others black.
func stripes(t testing.TB, n int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 6, 1))
	for x := range n {
		m.SetGray(x, 0, color.Gray{Y: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	red   = color.RGBA{R: 255, A: 255}
	green = color.RGBA{G: 255, A: 255}
	blue  = color.RGBA{B: 255, A: 255}
)

// first is the best label of an answer.
func first(r *Response) string {
	if r == nil {
		return "no answer"
	}
	c, ok := r.Prediction.(*postprocess.Classified)
	if !ok || len(c.Top) == 0 {
		return "no class"
	}
	return c.Top[0].Label
}

// states lists name/version:state of all models.
func states(e *Engine) string {
	var list []string
	for _, s := range e.Models() {
		list = append(list, s.Name+"/"+s.Version+":"+s.State.String())
	}
	return strings.Join(list, " ")
}

// until waits until the condition holds, for longer than any stall of a busy machine.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
