// Package simnvml simulates NVML for tests: a shared library in C that go-nvml loads instead of NVIDIA's, and a text file that
// describes its GPUs, which a test edits while the library is in use.
//
// A line is "key = value"; "#" begins a comment. A missing key is a value that the GPU does not support.
//
//	driver = 580.95.05           the kernel driver's version
//	cuda = 13000                 CUDA's version, 1000 × major + 10 × minor
//	init.error = 9               NVML status of every initialization
//	hang = 30                    every call hangs for so many seconds, or until the line is removed
//	events.error = 999           status of waiting for events
//	gpu0.uuid = GPU-…            the GPU exists; numbers start at 0 without gaps
//	gpu0.name, gpu0.pci          text
//	gpu0.memory.total, .used     bytes
//	gpu0.utilization             percent
//	gpu0.power                   watts
//	gpu0.temperature             °C
//	gpu0.ecc.volatile, .aggregate uncorrected errors
//	gpu0.capability = 9.0        compute capability
//	gpu0.recovery = 1            NVML's number of the recovery action
//	gpu0.lost = 1                every call about the GPU reports it as lost
//	gpu0.error = 999             every call about the GPU returns this status
//	gpu0.hang = 30               every call about the GPU hangs for so many seconds, or until the line is removed
//	gpu0.events = 8              event types that it supports; default 32779, all that Fovea uses
//	gpu0.event.7 = xid 79        its event 7, delivered once to each event set that contained the GPU before; also
//	                             "xid 31 gi 1 ci 0", "sbe", "dbe", "recovery"
//	gpu0.mig = 1                 MIG is enabled
//	gpu0.mig0.uuid = MIG-…       an instance, with .gi, .ci and memory
//
// The file's path is in FOVEA_SIMNVML_FILE. As in a container, the library shows only the GPUs that
// NVIDIA_VISIBLE_DEVICES (or, for CDI, GPU_SIM_VISIBLE_<i>) names.
package simnvml

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Library builds the library unless an up-to-date one exists, and returns its path. The path is the same for all tests of a
// process, since go-nvml binds to one library only. Flags go to the C compiler.
func Library(t testing.TB, flags ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	sources, err := filepath.Glob(filepath.Join(root, "gpu", "simnvml", "src", "*"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources of the simulated NVML: %v", err)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, flags)
	for _, source := range append(sources, filepath.Join(root, "scripts", "simnvml")) {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(content)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("fovea-simnvml-%d-%x", os.Getuid(), sum.Sum(nil)[:8]))
	library := filepath.Join(dir, "libnvidia-ml.so.1")
	if _, err := os.Stat(library); err != nil {
		build(t, root, dir, library, flags)
	}
	return library
}

// build compiles to a temporary file and renames it, so that other processes never see a partial library.
func build(t testing.TB, root, dir, library string, flags []string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := fmt.Sprintf("%s.%d", library, os.Getpid())
	cmd := exec.Command(filepath.Join(root, "scripts", "simnvml"), append([]string{fresh}, flags...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the simulated NVML: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, library); err != nil {
		t.Fatal(err)
	}
}

// File describes the simulated GPUs. It is safe for concurrent use.
type File struct {
	t    testing.TB
	path string

	mu     sync.Mutex
	values map[string]string
}

// New writes a description and sets its path in the environment for the duration of the test.
func New(t testing.TB, values map[string]string) *File {
	t.Helper()
	f := &File{t: t, path: filepath.Join(t.TempDir(), "gpus"), values: maps.Clone(values)}
	f.write()
	t.Setenv("FOVEA_SIMNVML_FILE", f.path)
	return f
}

// Path returns the file's path, for other processes.
func (f *File) Path() string { return f.path }

// Set changes values, given as pairs of key and value.
func (f *File) Set(pairs ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 0; i < len(pairs); i += 2 {
		f.values[pairs[i]] = pairs[i+1]
	}
	f.write()
}

// Delete removes keys.
func (f *File) Delete(keys ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		delete(f.values, key)
	}
	f.write()
}

// write replaces the file atomically.
func (f *File) write() {
	f.t.Helper()
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		fmt.Fprintf(&text, "%s = %s\n", key, f.values[key])
	}
	fresh := f.path + ".new"
	if err := os.WriteFile(fresh, []byte(text.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(fresh, f.path); err != nil {
		f.t.Fatal(err)
	}
}

// H100 returns the values of a healthy GPU with a number, with everything supported and the UUID from UUID.
func H100(number int) map[string]string {
	values := map[string]string{
		"uuid": UUID(number), "name": "NVIDIA H100 80GB HBM3", "pci": fmt.Sprintf("00000000:%02X:00.0", 0x18+8*number),
		"memory.total": "85520809984", "memory.used": "1073741824", "utilization": "37", "power": "123.456",
		"temperature": "45", "ecc.volatile": "0", "ecc.aggregate": "2", "capability": "9.0", "recovery": "0", "mig": "0",
	}
	gpu := map[string]string{}
	for key, value := range values {
		gpu[fmt.Sprintf("gpu%d.%s", number, key)] = value
	}
	return gpu
}

// UUID returns the UUID of the GPU with a number.
func UUID(number int) string {
	return fmt.Sprintf("GPU-%08x-0000-4000-8000-%012x", 0xf0ea0000+number, number)
}

// Machine returns a description with a driver for CUDA 13 and a number of H100s.
func Machine(gpus int) map[string]string {
	values := map[string]string{"driver": "580.95.05", "cuda": "13000"}
	for i := range gpus {
		maps.Copy(values, H100(i))
	}
	return values
}
