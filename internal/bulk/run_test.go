package bulk

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/terminal"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers an image with its bytes, as do says.
type echo struct {
	do func(ctx context.Context, image string) error
}

func (e echo) Predict(ctx context.Context, image []byte) (*Answer, error) {
	if e.do != nil {
		if err := e.do(ctx, string(image)); err != nil {
			return nil, err
		}
	}
	return &Answer{Model: "m", Version: "1", JSON: fmt.Appendf(nil, `{"boxes":[{"label":%q,"score":1,"x1":1,"y1":0,"x2":3.5,"y2":2},{"label":"a/b","x1":9,"y1":9,"x2":12,"y2":12}]}`, strings.TrimPrefix(string(image), "\xff\xd8"))}, nil
}

func (echo) Draw(_ context.Context, image []byte, a *Answer, format string) ([]byte, error) {
	return fmt.Appendf(nil, "%s of %s: %s", format, image, a.Model), nil
}

func (echo) Decode(_ context.Context, _ []byte, use func(*image.RGBA, float64) error) error {
	img := image.NewRGBA(image.Rect(0, 0, 10, 10))
	img.SetRGBA(4, 1, color.RGBA{255, 0, 0, 255})
	return use(img, 2) // as if it had been 5 × 5
}

// collected is a sink.
type collected struct {
	results []Result
	fail    error
}

func (c *collected) Write(r Result) error {
	c.results = append(c.results, r)
	return c.fail
}

func (c *collected) Close() error { return nil }

func (c *collected) names() (list []string) {
	for _, r := range c.results {
		list = append(list, r.Image)
	}
	return list
}

// numbered makes n images.
func numbered(t *testing.T, n int) (inputs []Input, names []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		names = append(names, fmt.Sprintf("%03d.jpg", i))
	}
	lay(t, dir, names...)
	inputs, err := Find([]string{dir}, nil, 1000)
	if err != nil || len(inputs) != n {
		t.Fatal(len(inputs), err)
	}
	names = names[:0]
	for _, in := range inputs {
		names = append(names, in.Name)
	}
	return inputs, names
}

func options(s Sink, parallel int) Options {
	return Options{Parallel: parallel, MaxBytes: 1000, Sink: s, Progress: terminal.NewProgress(io.Discard, 0, "images")}
}

func TestResultsAreInTheOrderOfTheImages(t *testing.T) {
	inputs, names := numbered(t, 200)
	var now, most atomic.Int64
	var first sync.Once
	release := make(chan struct{})
	p := echo{do: func(_ context.Context, name string) error {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		slow := false
		first.Do(func() { slow = true })
		if slow { // the others overtake it
			<-release
		} else if strings.HasSuffix(name, "010.jpg") {
			close(release)
		}
		return nil
	}}
	var got collected
	s, err := Run(t.Context(), p, inputs, options(&got, 4))
	if err != nil || s.Done != 200 || s.Total != 200 || len(s.Failed) > 0 {
		t.Fatalf("%+v %v", s, err)
	}
	if !slices.Equal(got.names(), names) {
		t.Errorf("%q", got.names())
	}
	if most.Load() > 4 {
		t.Errorf("%d images at a time, want 4", most.Load())
	}
}

func TestFailuresOfImagesDoNotEndTheRun(t *testing.T) {
	inputs, names := numbered(t, 20)
	inputs[3].Err = errors.New("gone")
	if err := os.WriteFile(names[4], nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := echo{do: func(_ context.Context, name string) error {
		switch filepath.Base(name) {
		case "007.jpg":
			return apierror.New(apierror.Undecodable, "broken")
		case "008.jpg":
			panic("a defect")
		case "009.jpg":
			return errors.New("an error of one run")
		}
		return nil
	}}
	var got collected
	s, err := Run(t.Context(), p, inputs, options(&got, 3))
	if err != nil || s.Done != 20 {
		t.Fatalf("%+v %v", s, err)
	}
	want := []string{names[3] + ": gone", names[4] + ": the file is empty", names[7] + ": broken", names[8] + ": panic: a defect", names[9] + ": an error of one run"}
	var failed []string
	for _, f := range s.Failed {
		failed = append(failed, f.String())
	}
	if !slices.Equal(failed, want) || !slices.Equal(got.names(), names) {
		t.Errorf("%q", failed)
	}
}

func TestErrorsOfAllImagesEndTheRun(t *testing.T) {
	inputs, names := numbered(t, 100)
	gone := apierror.New(apierror.ModelNotFound, "there is no such model")
	p := echo{do: func(_ context.Context, name string) error {
		if filepath.Base(name) >= "030.jpg" {
			return gone
		}
		return nil
	}}
	var got collected
	s, err := Run(t.Context(), p, inputs, options(&got, 3))
	if !errors.Is(err, gone) || len(s.Failed) > 0 || s.Done != len(got.results) || s.Done > 30 {
		t.Fatalf("%+v %v", s, err)
	}
	if got := got.names(); !slices.IsSorted(got) || len(got) > 0 && got[0] != names[0] {
		t.Errorf("%q", got)
	}
	full := errors.New("no space left on device")
	broken := collected{fail: full}
	if _, err := Run(t.Context(), echo{}, inputs, options(&broken, 3)); !errors.Is(err, full) || len(broken.results) != 1 {
		t.Errorf("a sink that fails: %v after %d", err, len(broken.results))
	}
}

func TestInterruptedRunKeepsWhatIsDone(t *testing.T) {
	inputs, _ := numbered(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	p := echo{do: func(ctx context.Context, name string) error {
		switch filepath.Base(name) {
		case "005.jpg": // the interrupt comes while this one runs
			<-ctx.Done()
			return apierror.From(ctx.Err())
		case "010.jpg":
			cancel()
		}
		return nil
	}}
	var got collected
	s, err := Run(ctx, p, inputs, options(&got, 2))
	if !errors.Is(err, context.Canceled) || len(s.Failed) > 0 || s.Done != len(got.results) || s.Done < 9 || s.Done > 20 {
		t.Fatalf("%d results, %+v %v", len(got.results), s, err)
	}
	if slices.ContainsFunc(got.names(), func(name string) bool { return filepath.Base(name) == "005.jpg" }) {
		t.Error("the image that was interrupted has a result")
	}
}

func TestAnnotatedImagesAndCrops(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"sub/a.JPG": "\xff\xd8a", "b.webp": "RIFFb", "b.png": "PNGb", "c.png": "\xff\xd8c"} {
		lay(t, dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inputs, err := Find([]string{dir}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	o := options(&collected{}, 2)
	o.Annotate, o.Crop = filepath.Join(out, "seen"), filepath.Join(out, "crops")
	if s, err := Run(t.Context(), echo{}, inputs, o); err != nil || len(s.Failed) > 0 {
		t.Fatal(s, err)
	}
	var files []string
	_ = filepath.WalkDir(out, func(path string, entry os.DirEntry, _ error) error {
		if !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, out+"/"))
		}
		return nil
	})
	want := []string{"crops/PNGb/b-1.png", "crops/RIFFb/b-1.webp.png", "crops/a/sub/a-1.JPG", "crops/c/c-1.png.jpg",
		"seen/b.png", "seen/b.webp.png", "seen/c.png.jpg", "seen/sub/a.JPG"}
	if !slices.Equal(files, want) {
		t.Errorf("%q", files)
	}
	if text, err := os.ReadFile(filepath.Join(out, "seen/b.webp.png")); err != nil || string(text) != "png of RIFFb: m" {
		t.Errorf("%q %v", text, err)
	}
	file, err := os.Open(filepath.Join(out, "crops/PNGb/b-1.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	crop, _, err := image.Decode(file)
	if err != nil || crop.Bounds() != image.Rect(0, 0, 5, 4) { // x from 2 to 7, y from 0 to 4, at twice the size
		t.Fatal(crop, err)
	}
	if r, _, _, _ := crop.At(2, 1).RGBA(); r != 0xffff {
		t.Error("the crop is from another place")
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	long := strings.Repeat("x", 250) + ".webp" // with .png it is longer than names of files may be
	lay(t, dir, "1.jpg", "2.png", "3.png", long)
	if err := os.MkdirAll(filepath.Join(out, "2.png"), 0o755); err != nil {
		t.Fatal(err)
	}
	inputs, err := Find([]string{dir}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got collected
	o := options(&got, 2)
	o.Annotate = out
	s, err := Run(t.Context(), echo{}, inputs, o)
	if err != nil || len(got.results) != 4 || len(s.Failed) != 2 || s.Failed[0].Name != filepath.Join(dir, "2.png") || s.Failed[1].Name != filepath.Join(dir, long) {
		t.Errorf("names that are not possible: %v %v", s.Failed, err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := os.Symlink("/dev/full", filepath.Join(out, "3.png.png")); err != nil {
			t.Fatal(err)
		}
		if err := save(filepath.Join(out, "3.png.png"), []byte("image")); !errors.Is(err, syscall.ENOSPC) || isAboutImage(err) {
			t.Errorf("a full disk: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(out, "3.png.png")); err == nil {
			t.Error("a part of an image is left on the full disk")
		}
	}
	if err := MakeFolder(filepath.Join(dir, "2.png", "seen")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a folder below a file: %v", err)
	}
	if err := MakeFolder(filepath.Join(out, "a", "b")); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(filepath.Join(out, "a", "b")); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
}

func TestFolderNamesOfLabels(t *testing.T) {
	for label, want := range map[string]string{"cat": "cat", "traffic light": "traffic light", "a/b\\c:d": "a_b_c_d", "..": "_.", "": "_", " x ": "x", "a\x00b": "a_b",
		strings.Repeat("ä", 200): strings.Repeat("ä", 100)} {
		if got := folderName(label); got != want {
			t.Errorf("%q: %q, want %q", label, got, want)
		}
	}
}
