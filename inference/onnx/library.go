package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

const (
	libraryName    = "libonnxruntime.so"
	libraryEnv     = "FOVEA_ORT_LIBRARY"
	libraryCache   = "fovea/onnxruntime-1.30.0" // where `make setup` installs it, below the user's cache folder
	telemetryEnv   = "ORT_DISABLE_TELEMETRY"    // read by the library when it starts
	minimumVersion = "1.29"                     // the first with C API 29, which onnxruntime_go 1.36 uses
)

// library is the process's one ONNX Runtime.
var library struct {
	sync.Mutex
	opened  int // calls of Open without a Close
	path    string
	version string
	native  *native.Library
}

var errNotOpen = errors.New("ONNX Runtime is not open")

// openLibrary returns the open ONNX Runtime and its folder, which also holds its providers; nil if there is none.
func openLibrary() (lib *native.Library, folder string) {
	library.Lock()
	defer library.Unlock()
	if library.opened == 0 {
		return nil, ""
	}
	return library.native, filepath.Dir(library.path)
}

// Open loads ONNX Runtime from libraryPath (a file, or a folder that holds libonnxruntime.so). If that is empty, it tries
// $FOVEA_ORT_LIBRARY, then the program's ../lib and its own folder, then where `make setup` installs it. If a path is
// given, by argument or environment, nothing else is tried. Each Open needs a Close; only the first one loads the library,
// and the others must name the same file.
func Open(libraryPath string) error {
	path, err := findLibrary(libraryPath)
	if err != nil {
		return err
	}
	library.Lock()
	defer library.Unlock()
	if library.opened > 0 {
		if path != library.path {
			return fmt.Errorf("ONNX Runtime is already loaded from %s; %s cannot be loaded as well", library.path, path)
		}
		library.opened++
		return nil
	}
	// Microsoft's builds send telemetry and keep a file for it in the user's cache folder unless this is set before they
	// start; disabling it afterwards is too late for the file.
	if err := os.Setenv(telemetryEnv, "1"); err != nil {
		return fmt.Errorf("ONNX Runtime: disable telemetry: %w", err)
	}
	lib, version, err := checkVersion(path)
	if err != nil {
		return err
	}
	if err := startRuntime(path, lib); err != nil {
		return fmt.Errorf("start ONNX Runtime %s at %s: %w", version, path, err)
	}
	library.path, library.version, library.native, library.opened = path, version, lib, 1
	return nil
}

// Close undoes Open. The last call fails while sessions or batches are open. The library's code stays loaded: CUDA's
// threads and exit handlers point into it.
func Close() error {
	library.Lock()
	defer library.Unlock()
	if library.opened == 0 {
		return errNotOpen
	}
	if library.opened > 1 {
		library.opened--
		return nil
	}
	if n := Live(); n != 0 {
		return fmt.Errorf("ONNX Runtime cannot be closed: %d native values are not freed", n)
	}
	library.opened, library.version = 0, ""
	if err := ort.DestroyEnvironment(); err != nil {
		return fmt.Errorf("close ONNX Runtime: %w", err)
	}
	return nil
}

// Version returns the version of the open ONNX Runtime, such as "1.30.0"; empty if there is none.
func Version() string {
	library.Lock()
	defer library.Unlock()
	return library.version
}

// startRuntime initializes ONNX Runtime without its own log on standard error: every error is also returned.
func startRuntime(path string, lib *native.Library) error {
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return err
	}
	api, err := lib.API()
	if err == nil {
		err = errors.Join(ort.DisableTelemetry(), api.UseArenas())
	}
	if err != nil {
		return errors.Join(err, ort.DestroyEnvironment())
	}
	return nil
}

// checkVersion asks the library for its version: onnxruntime_go only reports that an old one lacks its API number.
func checkVersion(path string) (lib *native.Library, version string, err error) {
	if lib, err = native.Load(path); err != nil {
		return nil, "", fmt.Errorf("load ONNX Runtime: %w", err)
	}
	if version, err = lib.RuntimeVersion(); err != nil {
		return nil, "", err
	}
	if !atLeast(version, minimumVersion) {
		return nil, "", fmt.Errorf("ONNX Runtime at %s is version %s; %s or newer is needed", path, version, minimumVersion)
	}
	return lib, version, nil
}

// atLeast compares versions by their major and minor numbers.
func atLeast(version, minimum string) bool {
	var v, m [2]int // what cannot be parsed counts as 0
	_, _ = fmt.Sscanf(version, "%d.%d", &v[0], &v[1])
	_, _ = fmt.Sscanf(minimum, "%d.%d", &m[0], &m[1])
	return slices.Compare(v[:], m[:]) >= 0
}

func findLibrary(given string) (string, error) {
	from := "the configured library"
	if given == "" {
		given, from = os.Getenv(libraryEnv), "$"+libraryEnv
	}
	if given != "" {
		path, err := libraryFile(given)
		if err != nil {
			return "", fmt.Errorf("ONNX Runtime: %s: %w", from, err)
		}
		return path, nil
	}
	candidates := libraryCandidates()
	for _, candidate := range candidates {
		if path, err := libraryFile(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("ONNX Runtime (%s) not found; tried $%s (not set), %s; `make setup` installs it",
		libraryName, libraryEnv, strings.Join(candidates, ", "))
}

func libraryCandidates() (paths []string) {
	if program, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		folder := filepath.Dir(program)
		paths = append(paths, filepath.Join(folder, "..", "lib", libraryName), filepath.Join(folder, libraryName))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		paths = append(paths, filepath.Join(cache, libraryCache, libraryName))
	}
	return paths
}

// libraryFile returns the absolute path of the library; given may be the folder that holds it.
func libraryFile(given string) (string, error) {
	path, err := filepath.Abs(given)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, libraryName)
		info, err = os.Stat(path)
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	return path, nil
}

var liveObjects atomic.Int64 // sessions and tensors

// Live returns the number of native objects that have not been freed: sessions, tensors and blocks of tensor memory.
func Live() int64 { return liveObjects.Load() + native.Blocks() + native.Values() }
