package onnx

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

func TestLibraryPath(t *testing.T) {
	path := testenv.ORTLibrary(t)
	for name, c := range map[string]struct{ given, env string }{
		"a configured file":       {given: path},
		"a configured folder":     {given: filepath.Dir(path)},
		"the environment":         {env: path},
		"configured, despite env": {given: path, env: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(libraryEnv, c.env)
			if err := Open(c.given); err != nil {
				t.Fatal(err)
			}
			if !atLeast(Version(), minimumVersion) {
				t.Errorf("version %q", Version())
			}
			if err := Close(); err != nil {
				t.Fatal(err)
			}
			if Version() != "" {
				t.Errorf("version %q after Close", Version())
			}
		})
	}
}

func TestInstalledLibraryIsFoundInTheCache(t *testing.T) {
	library := testenv.ORTLibrary(t)
	t.Setenv(libraryEnv, "")
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	folder := filepath.Join(cache, "fovea", "onnxruntime-1.30.0")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	err := Open("")
	if err == nil {
		t.Fatal("found", Close())
	}
	program, progErr := os.Executable()
	if progErr != nil {
		t.Fatal(progErr)
	}
	for _, place := range []string{libraryEnv, folder, filepath.Dir(program), "lib/" + libraryName, "make setup"} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("error %q does not name %s", err, place)
		}
	}
	if err := os.Symlink(library, filepath.Join(folder, libraryName)); err != nil {
		t.Fatal(err)
	}
	if err := Open(""); err != nil {
		t.Fatal(err)
	}
	if err := Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableLibrariesAreRefused(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"a path to nothing":      {"/nowhere/libonnxruntime.so", "the configured library: "},
		"an empty folder":        {folder, libraryName},
		"a file that is no ELF":  {text, "load ONNX Runtime: "},
		"some other library":     {build(t, "int nothing;"), "is not an ONNX Runtime library"},
		"an ONNX Runtime of old": {build(t, fake("1.20.1")), "is version 1.20.1; 1.29 or newer is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Open(c.path)
			if err == nil {
				t.Fatal("opened", Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

// build compiles C into a shared library; cgo needs a C compiler anyway.
func build(t *testing.T, source string, flags ...string) string {
	t.Helper()
	folder := t.TempDir()
	file, library := filepath.Join(folder, "a.c"), filepath.Join(folder, "liba.so")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "gcc"
	}
	args := append([]string{"-shared", "-fPIC", "-o", library, file}, flags...)
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return library
}

// fake is a library that only says its version, as every ONNX Runtime does.
func fake(version string) string {
	return `static const void *api(unsigned v) { (void)v; return 0; }
static const char *version(void) { return "` + version + `"; }
static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = { api, version };
const void *OrtGetApiBase(void) { return &base; }
`
}

func TestOpenIsCounted(t *testing.T) {
	open(t)
	if err := Open(testenv.ORTLibrary(t)); err != nil {
		t.Fatal(err)
	}
	if err := Open(build(t, fake("1.99.0"))); err == nil || !strings.Contains(err.Error(), "loaded from") {
		t.Errorf("a second library: %v", err)
	}
	load(t, "testdata/conv.onnx", Options{})
	if err := Close(); err != nil {
		t.Errorf("the inner Close: %v", err)
	}
	if Version() == "" {
		t.Error("closed by the inner Close")
	}
}

func TestClosedLibraryIsReported(t *testing.T) {
	if _, err := NewSession("testdata/conv.onnx", Options{}); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("session: %v", err)
	}
	if _, _, err := Pick("cuda"); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("device: %v", err)
	}
	if err := Close(); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("close: %v", err)
	}
}

func TestVersionsAreComparedByNumber(t *testing.T) {
	for version, want := range map[string]bool{
		"1.29.0": true, "1.29": true, "1.30.0-dev": true, "2.0.0": true, "1.100.1": true,
		"1.28.9": false, "1.9.0": false, "0.99": false, "": false, "new": false,
	} {
		if got := atLeast(version, minimumVersion); got != want {
			t.Errorf("%q counts as new enough: %t", version, got)
		}
	}
}

func TestLibraryReopens(t *testing.T) {
	path := testenv.ORTLibrary(t)
	for range 5 {
		if err := Open(path); err != nil {
			t.Fatal(err)
		}
		s, err := NewSession("testdata/conv.onnx", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Close(); err != nil {
			t.Fatal(err)
		}
	}
}
