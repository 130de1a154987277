package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

const (
	libraryName    = "libonnxruntime.so"
	libraryEnv     = "FOVEA_ORT_LIBRARY"
	libraryCache   = "fovea/onnxruntime-1.30.0" // where `make setup` puts it, under the user's cache folder
	telemetryEnv   = "ORT_DISABLE_TELEMETRY"    // read by the library when it starts
	minimumVersion = "1.29"                     // the first with C API 29, which onnxruntime_go 1.36 speaks
)

// library is ONNX Runtime, of which a process has one.
var library struct {
	sync.Mutex
	opened  int // Opens without a Close
	path    string
	version string
	native  *native.Library
}

// openLibrary is the ONNX Runtime that is open; nil when none is.
func openLibrary() *native.Library {
	library.Lock()
	defer library.Unlock()
	if library.opened == 0 {
		return nil
	}
	return library.native
}

// Open loads ONNX Runtime. It looks at libraryPath (a file, or a folder that holds libonnxruntime.so), and when
// that is empty at $FOVEA_ORT_LIBRARY, then beside the program (../lib, the program's own folder), then where
// `make setup` puts it. A path that is given and is wrong is an error; nothing else is tried then. Each Open
// needs a Close; only the first loads, and the others must mean the same file.
func Open(libraryPath string) error {
	path, err := findLibrary(libraryPath)
	if err != nil {
		return err
	}
	library.Lock()
	defer library.Unlock()
	if library.opened > 0 {
		if path != library.path {
			return fmt.Errorf("ONNX Runtime is loaded from %s already; %s cannot be loaded beside it",
				library.path, path)
		}
		library.opened++
		return nil
	}
	// Microsoft's builds report their use, and keep a file of it in the user's cache folder, unless told not to
	// before they start; the call that ends it afterwards comes too late for the file.
	if err := os.Setenv(telemetryEnv, "1"); err != nil {
		return fmt.Errorf("ONNX Runtime: switch its telemetry off: %w", err)
	}
	lib, version, err := checkVersion(path)
	if err != nil {
		return err
	}
	if err := startRuntime(path); err != nil {
		return fmt.Errorf("ONNX Runtime %s at %s does not start: %w", version, path, err)
	}
	library.path, library.version, library.native, library.opened = path, version, lib, 1
	return nil
}

// Close ends what Open began. The last one fails while sessions or batches are open. The library's code stays
// loaded: the threads and exit handlers of CUDA point into it.
func Close() error {
	library.Lock()
	defer library.Unlock()
	if library.opened == 0 {
		return errors.New("ONNX Runtime is not open")
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

// Version is the version of the ONNX Runtime that is open, such as "1.30.0"; empty when none is.
func Version() string {
	library.Lock()
	defer library.Unlock()
	return library.version
}

// libraryFolder is the folder of the ONNX Runtime that is open, where its providers are too.
func libraryFolder() (string, error) {
	library.Lock()
	defer library.Unlock()
	if library.opened == 0 {
		return "", errors.New("ONNX Runtime is not open")
	}
	return filepath.Dir(library.path), nil
}

// startRuntime silences ONNX Runtime's own log on standard error: every error is returned too.
func startRuntime(path string) error {
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return err
	}
	if err := errors.Join(ort.DisableTelemetry(), shareArena()); err != nil {
		return errors.Join(err, ort.DestroyEnvironment())
	}
	return nil
}

// sameAsRequested has an arena grow by what is asked for, instead of by powers of two (OrtArenaCfg's
// arena_extend_strategy).
const sameAsRequested = 1

// shareArena gives all sessions on the CPU one arena for what is computed between inputs and outputs. An arena keeps the
// most that its runs ever needed, and sessions that take turns, as a model's two do, would each keep that.
func shareArena() error {
	memory, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	arena, err := ort.NewArenaCfg(0, sameAsRequested, -1, -1)
	if err != nil {
		return err
	}
	defer arena.Destroy()
	return ort.CreateAndRegisterAllocator(memory, arena)
}

// checkVersion asks the library itself: onnxruntime_go only says that an old one has no API of its number.
func checkVersion(path string) (lib *native.Library, version string, err error) {
	if lib, err = native.Load(path); err != nil {
		return nil, "", fmt.Errorf("ONNX Runtime cannot be loaded: %w", err)
	}
	if version, err = lib.RuntimeVersion(); err != nil {
		return nil, "", err
	}
	if !atLeast(version, minimumVersion) {
		return nil, "", fmt.Errorf("ONNX Runtime at %s is version %s; %s or newer is needed", path, version,
			minimumVersion)
	}
	return lib, version, nil
}

// atLeast compares versions by their major and minor numbers.
func atLeast(version, minimum string) bool {
	v, m := majorMinor(version), majorMinor(minimum)
	return v[0] > m[0] || v[0] == m[0] && v[1] >= m[1]
}

func majorMinor(version string) (numbers [2]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		if i < 2 {
			numbers[i], _ = strconv.Atoi(part) // what is no number counts as 0, which is too old
		}
	}
	return numbers
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
	places := libraryPlaces()
	for _, place := range places {
		if path, err := libraryFile(place); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("ONNX Runtime (%s) not found; tried $%s (not set), %s; `make setup` installs it",
		libraryName, libraryEnv, strings.Join(places, ", "))
}

func libraryPlaces() (places []string) {
	if program, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		folder := filepath.Dir(program)
		places = append(places, filepath.Join(folder, "..", "lib", libraryName), filepath.Join(folder, libraryName))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, libraryCache, libraryName))
	}
	return places
}

// libraryFile makes an absolute path to a regular file of what was given, which may be the folder around it.
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
