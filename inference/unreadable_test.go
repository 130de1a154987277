package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// failing are the file system's calls, of which one fails.
type failing struct {
	mu    sync.Mutex
	calls []string // since the last arm, as "call path"
	at    int      // the number of the call that fails; -1: none
	on    string   // or the calls that are on this path
	err   error
	hang  chan struct{} // calls that would fail return only when it is closed; nil: at once
}

// arm makes the call of a number, or all calls on a path, fail.
func (f *failing) arm(at int, on string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.at, f.on, f.err = nil, at, on, err
}

func (f *failing) check(call, path string) error {
	f.mu.Lock()
	n := len(f.calls)
	f.calls = append(f.calls, call+" "+path)
	within := f.on != "" && (path == f.on || strings.HasPrefix(path, f.on+"/"))
	err, hang := f.err, f.hang
	fails := err != nil && (n == f.at || within)
	f.mu.Unlock()
	if fails {
		if hang != nil {
			<-hang
		}
		return &fs.PathError{Op: call, Path: path, Err: err}
	}
	return nil
}

func (f *failing) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := os.ReadDir(name)
	if failed := f.check("readdir", name); failed != nil {
		return list[:len(list)/2], failed // as os.ReadDir does: what was read before
	}
	return list, err
}

func (f *failing) Stat(name string) (fs.FileInfo, error) {
	if err := f.check("stat", name); err != nil {
		return nil, err
	}
	return os.Stat(name)
}

func (f *failing) Lstat(name string) (fs.FileInfo, error) {
	if err := f.check("lstat", name); err != nil {
		return nil, err
	}
	return os.Lstat(name)
}

func (f *failing) EvalSymlinks(name string) (string, error) {
	if err := f.check("evalsymlinks", name); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(name)
}

func (f *failing) OpenRoot(name string) (repository.Root, error) {
	if err := f.check("openroot", name); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	return failingRoot{root, name, f}, err
}

type failingRoot struct {
	*os.Root
	dir string
	f   *failing
}

func (r failingRoot) OpenFile(name string, flag int, perm fs.FileMode) (repository.File, error) {
	path := filepath.Join(r.dir, name)
	if err := r.f.check("open", path); err != nil {
		return nil, err
	}
	file, err := r.Root.OpenFile(name, flag, perm)
	return failingFile{file, path, r.f}, err
}

type failingFile struct {
	*os.File
	path string
	f    *failing
}

func (r failingFile) Read(p []byte) (int, error) {
	if err := r.f.check("read", r.path); err != nil {
		return 0, err
	}
	return r.File.Read(p)
}

func (r failingFile) ReadAt(p []byte, at int64) (int, error) {
	if err := r.f.check("read", r.path); err != nil {
		return 0, err
	}
	return r.File.ReadAt(p, at)
}

func (r failingFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := r.f.check("readdir", r.path); err != nil {
		return nil, err
	}
	return r.File.ReadDir(n)
}

func (r failingFile) Stat() (fs.FileInfo, error) {
	if err := r.f.check("stat", r.path); err != nil {
		return nil, err
	}
	return r.File.Stat()
}

// failingEngine serves three models: a with versions 1 and 2, of which the highest is served, b with all of its two, and c,
// which names an image for its self-test.
func failingEngine(t *testing.T, names bool) (*Engine, *testRepository, *failing) {
	r := newRepository(t).define("a", colors).add("a", 1, "colors").add("a", 2, "colors").
		define("b", colors+"versions: all\n").add("b", 1, "colors").add("b", 2, "colors").
		define("c", colors+"self_test: {image: red.png, label: red}\n").add("c", 1, "colors")
	r.write("c/red.png", plain(t, red, 8, 8))
	f := &failing{at: -1}
	cfg := Defaults()
	cfg.Library, cfg.Device, cfg.ThreadsAlone = testenv.ORTLibrary(t), "cpu", 1
	if names {
		cfg.Models = []ModelConfig{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	}
	e, err := New(cfg, repository.OpenWith(r.dir, f), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e, r, f
}

const allServed = "a/2:ready b/1:ready b/2:ready c/1:ready"

// transient are errors that do not tell whether a file exists.
var transient = []error{syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT,
	syscall.EHOSTDOWN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOTDIR, syscall.EREMOTEIO, syscall.EINTR}

func TestFileSystemErrorsUnloadNothing(t *testing.T) {
	for _, names := range []bool{false, true} {
		t.Run(fmt.Sprintf("models that are listed in the configuration: %t", names), func(t *testing.T) {
			e, _, f := failingEngine(t, names)
			before := served(e)
			f.arm(-1, "", nil)
			if err := e.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			calls := f.calls
			if len(calls) < 20 {
				t.Fatalf("a StartSync makes the calls %q", calls)
			}
			for _, cause := range transient {
				for at, call := range calls {
					f.arm(at, "", cause)
					err := e.Sync(t.Context())
					if got := states(e); got != allServed || !sameVersions(before, served(e)) {
						t.Fatalf("%v at call %d, %s, leaves %s", cause, at, call, got)
					}
					if errors.Is(err, repository.ErrUnreadable) != (err != nil) {
						t.Errorf("%v at call %d, %s, is reported as %v", cause, at, call, err)
					}
				}
			}
			f.arm(-1, "", nil)
			if err := e.Sync(t.Context()); err != nil || states(e) != allServed || !sameVersions(before, served(e)) {
				t.Errorf("afterwards: %v, %s", err, states(e))
			}
		})
	}
}

func TestFileSystemErrorsDuringAReplacementKeepAVersion(t *testing.T) {
	for at := 0; ; at++ {
		e, r, f := failingEngine(t, false)
		r.add("a", 3, "colors").add("b", 3, "colors").define("c", colors)
		f.arm(at, "", syscall.EIO)
		_ = e.Sync(t.Context()) // its error is another test's
		got := " " + states(e)
		for _, want := range [][2]string{{"a/2:ready", "a/3:ready"}, {"b/1:ready", "b/1:ready"}, {"b/2:ready", "b/2:ready"}, {"c/1:ready", "c/1:ready"}} {
			if !strings.Contains(got, want[0]) && !strings.Contains(got, want[1]) {
				t.Errorf("a failure of call %d, %s, leaves %s", at, f.calls[min(at, len(f.calls)-1)], got)
			}
		}
		if at >= len(f.calls) {
			return
		}
	}
}

func TestUnreadableIsReportedAndStaysServed(t *testing.T) {
	e, r, f := failingEngine(t, false)
	before := served(e)
	for path, models := range map[string]string{
		"": "a b c", "a": "a", "b": "b", "a/2": "a", "b/1": "b", "a/model.yaml": "a", "c/labels.txt": "c", "c/red.png": "c", "a/2/model.onnx": "a",
	} {
		for _, cause := range transient {
			f.arm(-1, filepath.Join(r.dir, path), cause)
			for range 2 {
				if err := e.Sync(t.Context()); err == nil {
					t.Errorf("%v of %q is not reported", cause, path)
				}
			}
			if got := states(e); got != allServed || !sameVersions(before, served(e)) {
				t.Fatalf("%v of %q leaves %s", cause, path, got)
			}
			var reported []string
			for _, s := range e.Models() {
				if s.Unreadable != "" && (len(reported) == 0 || reported[len(reported)-1] != s.Name) {
					reported = append(reported, s.Name)
				}
			}
			if got := strings.Join(reported, " "); got != models {
				t.Errorf("%v of %q: unreadable are %q, want %q", cause, path, got, models)
			}
		}
		f.arm(-1, "", nil)
		if err := e.Sync(t.Context()); err != nil || e.Models()[0].Unreadable != "" {
			t.Errorf("%q is readable again: %v, %q", path, err, e.Models()[0].Unreadable)
		}
	}
}

func TestFileSystemThatHangsDelaysNoOtherModel(t *testing.T) {
	for _, path := range []string{"a", "a/2/model.onnx", "b/model.yaml"} {
		t.Run(path, func(t *testing.T) {
			e, r, f := failingEngine(t, true)
			e.slow.limit = 300 * time.Millisecond
			before := served(e)
			hang := make(chan struct{})
			f.mu.Lock()
			f.hang = hang
			f.mu.Unlock()
			f.arm(-1, filepath.Join(r.dir, path), syscall.EIO)
			r.define("c", colors) // without its self-test
			for range 3 {
				if err := e.Sync(t.Context()); !errors.Is(err, repository.ErrUnreadable) || !strings.Contains(err.Error(), "has not responded") {
					t.Errorf("Sync returned %v", err)
				}
			}
			if len(e.slow.pending) != 1 {
				t.Errorf("pending reads: %v", e.slow.pending)
			}
			until(t, "c is replaced", func() bool { return states(e) == allServed && !sameVersions(before, served(e)) })
			close(hang)
			f.arm(-1, "", nil)
			until(t, "the file system responds again", func() bool { return e.Sync(t.Context()) == nil })
			if len(e.slow.pending) != 0 || states(e) != allServed {
				t.Errorf("afterwards: %v, %s", e.slow.pending, states(e))
			}
		})
	}
}

func TestUnreadableVersionDelaysNoOther(t *testing.T) {
	e, r, f := failingEngine(t, false)
	r.add("b", 3, "colors").define("d", colors).add("d", 1, "colors").remove("c")
	f.arm(-1, filepath.Join(r.dir, "b/1"), syscall.EIO)
	if err := e.Sync(t.Context()); !errors.Is(err, repository.ErrUnreadable) {
		t.Errorf("Sync said %v", err)
	}
	until(t, "what is new, and the end of what is gone", func() bool {
		return states(e) == "a/2:ready b/1:ready b/2:ready b/3:ready d/1:ready"
	})
}

func TestUnreadableAtStartIsReported(t *testing.T) {
	for path, want := range map[string]string{"a": "a/:failed b/1:ready", "a/2": "a/1:ready b/1:ready", "a/model.yaml": "a/:failed b/1:ready",
		"b/1/model.onnx": "a/2:ready b/:failed"} {
		r := newRepository(t).define("a", colors).add("a", 1, "colors").add("a", 2, "colors").define("b", colors).add("b", 1, "colors")
		f := &failing{at: -1}
		cfg := Defaults()
		cfg.Library, cfg.Device = testenv.ORTLibrary(t), "cpu"
		e, err := New(cfg, repository.OpenWith(r.dir, f), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.arm(-1, filepath.Join(r.dir, path), syscall.EACCES)
		err = e.Sync(t.Context())
		if !errors.Is(err, repository.ErrUnreadable) || !strings.Contains(err.Error(), filepath.Join(r.dir, path)) || !strings.Contains(err.Error(), fmt.Sprint("id ", os.Geteuid())) {
			t.Errorf("%s: Sync said %v", path, err)
		}
		if got := states(e); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		f.arm(-1, "", nil)
		if err := e.Sync(t.Context()); err != nil || !strings.Contains(states(e), "a/2:ready") || !strings.HasSuffix(states(e), "b/1:ready") {
			t.Errorf("%s, readable: %v, %s", path, err, states(e))
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestRemovedIsUnloaded(t *testing.T) {
	for _, test := range []struct{ name, gone, want string }{
		{"a model", "a", "b/1:ready b/2:ready c/1:ready"},
		{"a version", "b/1", "a/2:ready b/2:ready c/1:ready"},
		{"the highest version", "a/2", "a/1:ready b/1:ready b/2:ready c/1:ready"},
		{"a definition", "a/model.yaml", "b/1:ready b/2:ready c/1:ready"},
		{"weights", "c/1/model.onnx", "a/2:ready b/1:ready b/2:ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, r, _ := failingEngine(t, false)
			r.remove(test.gone)
			err := e.Sync(t.Context())
			if said := err != nil && strings.Contains(err.Error(), "has weights but no model.yaml"); said != (test.gone == "a/model.yaml") {
				t.Error(err)
			}
			until(t, test.want, func() bool { return states(e) == test.want })
		})
	}
}

func TestEmptyFolderInsteadOfAMountUnloadsNothing(t *testing.T) {
	for _, at := range [][2]string{{"", ""}, {"a", ""}, {"a/2", ""}, {"b/1", ""}, {"", ".keep"}, {"", "lost+found"}, {"a/2", ".keep"}} {
		path, inside := at[0], at[1] // and what a mount point may hold
		t.Run("at "+path+" with "+inside, func(t *testing.T) {
			e, r, _ := failingEngine(t, false)
			before := served(e)
			place := filepath.Join(r.dir, path)
			if err := errors.Join(os.Rename(place, place+".away"), os.MkdirAll(filepath.Join(place, inside), 0o755)); err != nil { // as a disk that is no longer mounted
				t.Fatal(err)
			}
			if path == "a" || path == "" { // elsewhere it would be in the repository
				defer func() { _ = os.RemoveAll(place + ".away") }()
			}
			for range 2 {
				if err := e.Sync(t.Context()); !errors.Is(err, repository.ErrUnreadable) || !strings.Contains(err.Error(), "mounted") {
					t.Errorf("Sync said %v", err)
				}
			}
			if !sameVersions(before, served(e)) {
				t.Errorf("left is %s", states(e))
			}
		})
	}
}

func TestDanglingLinkUnloadsNothing(t *testing.T) {
	e, r, _ := failingEngine(t, false)
	before := served(e)
	for _, path := range []string{"a", "b/1", "a/model.yaml", "a/2/model.onnx", "c/red.png"} {
		place := filepath.Join(r.dir, path)
		away := filepath.Join(t.TempDir(), "away")
		if err := errors.Join(os.Rename(place, away), os.Symlink(away+".nowhere", place)); err != nil {
			t.Fatal(err)
		}
		if err := e.Sync(t.Context()); !errors.Is(err, repository.ErrUnreadable) {
			t.Errorf("%s: it is reported as %v", path, err)
		}
		if !sameVersions(before, served(e)) {
			t.Fatalf("%s: left is %s", path, states(e))
		}
		if err := errors.Join(os.Remove(place), os.Rename(away, place)); err != nil {
			t.Fatal(err)
		}
	}
}

// What takes the place of a model, a version or a file does not remove it.
func TestSomethingElseInItsPlaceUnloadsNothing(t *testing.T) {
	e, r, _ := failingEngine(t, false)
	before := served(e)
	for _, test := range []struct {
		name string
		make func(path string) error
		at   []string
		said string
	}{
		{"a file", func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, []string{"a", "a/2", "b/1"}, "is not a folder any more"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o750) }, []string{"a/2/model.onnx", "a/model.yaml", "c/red.png"}, "is not a regular file"},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, []string{"a/2/model.onnx", "a/model.yaml"}, "is not a regular file"},
	} {
		for _, path := range test.at {
			place := filepath.Join(r.dir, path)
			away := filepath.Join(t.TempDir(), "away")
			if err := errors.Join(os.Rename(place, away), test.make(place)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), test.said) {
					t.Errorf("%s at %s: it is reported as %v", test.name, path, err)
				}
				if !sameVersions(before, served(e)) {
					t.Fatalf("%s at %s: left is %s", test.name, path, states(e))
				}
			}
			if err := errors.Join(os.RemoveAll(place), os.Rename(away, place)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// served are the served versions.
func served(e *Engine) map[*version]bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	list := map[*version]bool{}
	for _, m := range e.models {
		for _, v := range m.served {
			list[v] = true
		}
	}
	return list
}

// sameVersions reports whether all versions that were served are.
func sameVersions(before, now map[*version]bool) bool {
	for v := range before {
		if !now[v] {
			return false
		}
	}
	return true
}
