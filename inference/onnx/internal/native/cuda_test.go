package native

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// runtimeSource has the calls of libcudart that are used, with its signatures. Each remembers how it was called
// and answers by it, so that a wrong signature or order shows. Device 1 has a latched error; only there is memory.
const runtimeSource = `#include <stdlib.h>
static int device = -1, pinned;
int cudaGetDeviceCount(int *n) { *n = 2; return getenv("FOVEA_TEST_NO_DRIVER") ? 35 : 0; }
int cudaSetDevice(int d) { if (d > 1) return 101; device = d; return 0; }
int cudaDeviceSynchronize(void) { return device == 1 ? 700 : 0; }
int cudaMemGetInfo(size_t *unused, size_t *all) {
	if (device != 1) return 101;
	*unused = 3u << 30;
	*all = (size_t)4 << 30;
	return 0;
}
int cudaHostAlloc(void **p, size_t size, unsigned flags) {
	if (flags != 1 || device != 1) return 1;
	if (size > 1u << 30) return 2;
	pinned++;
	*p = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
	return 0;
}
int cudaFreeHost(void *p) { free(p); return pinned-- > 0 ? 0 : 1; }
const char *cudaGetErrorName(int e) { return e == 35 ? "cudaErrorInsufficientDriver" : e == 2 ? "cudaErrorMemoryAllocation" : "cudaErrorInvalidDevice"; }
int cudaDeviceGetAttribute(int *value, int attribute, int d) { *value = 100 * d + attribute; return d > 1 ? 101 : 0; }
int cudaDriverGetVersion(int *v) { *v = 13020; return 0; }
int cudaRuntimeGetVersion(int *v) { *v = 13000; return 0; }
const char *cudaGetErrorString(int e) { (void)e; return "text of the error"; }
`

func buildLibrary(t *testing.T, source string) *Library {
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
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", library, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lib, err := Load(library)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

func openRuntime(t *testing.T) *CUDA {
	t.Helper()
	cuda, err := OpenCUDA(buildLibrary(t, runtimeSource))
	if err != nil {
		t.Fatal(err)
	}
	return cuda
}

func TestFreeMemoryPerDevice(t *testing.T) {
	cuda := openRuntime(t)
	if free, err := cuda.FreeMemory(1); err != nil || free != 3<<30 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	if _, err := cuda.FreeMemory(7); err == nil || !strings.Contains(err.Error(), "cudaMemGetInfo: CUDA failure 101") {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestHardwareOfADevice(t *testing.T) {
	cuda := openRuntime(t)
	if h, err := cuda.Hardware(1); err != nil || h != (Hardware{175, 176, 116, 4 << 30}) {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := cuda.Hardware(2); err == nil || !strings.Contains(err.Error(), "cudaDeviceGetAttribute: CUDA failure 101") {
		t.Errorf("a device that is not there: %v", err)
	}
	if driver, runtime, err := cuda.Versions(); err != nil || driver != 13020 || runtime != 13000 {
		t.Errorf("%d, %d, %v", driver, runtime, err)
	}
}

func TestVersionOfTensorRT(t *testing.T) {
	lib := buildLibrary(t, "int getInferLibVersion(void) { return 101303; }")
	if v, err := lib.InferVersion(); err != nil || v != 101303 {
		t.Errorf("%d, %v", v, err)
	}
	if _, err := buildLibrary(t, "int other;").InferVersion(); err == nil || !strings.Contains(err.Error(), "has no getInferLibVersion") {
		t.Errorf("another library: %v", err)
	}
}

func TestPinnedMemoryPerDevice(t *testing.T) {
	cuda := openRuntime(t)
	n, err := cuda.Devices()
	if err != nil || n != 2 {
		t.Fatalf("%d devices, %v", n, err)
	}
	block, err := cuda.AllocPinned(1, 100)
	if err != nil {
		t.Fatal(err)
	}
	memory := block.Bytes()
	if len(memory) != 100 || memory[0] != 0xFF || memory[99] != 0xFF || !block.Pinned() {
		t.Errorf("%d bytes, first %d, last %d, pinned %t", len(memory), memory[0], memory[99], block.Pinned())
	}
	if Blocks() != 1 {
		t.Errorf("counted %d blocks", Blocks())
	}
	for range 2 {
		if err := block.Free(); err != nil {
			t.Fatal(err)
		}
	}
	if Blocks() != 0 {
		t.Errorf("counted %d blocks after Free", Blocks())
	}
}

func TestCUDAFailuresCarryNumberAndName(t *testing.T) {
	cuda := openRuntime(t)
	if _, err := cuda.AllocPinned(1, 2<<30); err == nil || !strings.Contains(err.Error(), "cudaErrorMemoryAllocation") {
		t.Errorf("too much memory: %v", err)
	}
	if _, err := cuda.AllocPinned(5, 10); err == nil || !strings.Contains(err.Error(), "CUDA failure 101: cudaErrorInvalidDevice") {
		t.Errorf("no such device: %v", err)
	}
	if _, err := cuda.AllocPinned(0, 10); err == nil || !strings.Contains(err.Error(), "CUDA failure 1:") {
		t.Errorf("memory on the other device: %v", err)
	}
	if _, err := cuda.AllocPinned(0, 0); err == nil {
		t.Error("a block of nothing was allocated")
	}
	if code := cuda.State(0); code != 0 {
		t.Errorf("device 0 has the error %d", code)
	}
	if code := cuda.State(1); code != 700 {
		t.Errorf("device 1 has the error %d, want 700", code)
	}
	t.Setenv("FOVEA_TEST_NO_DRIVER", "1")
	if _, err := cuda.Devices(); err == nil || !strings.Contains(err.Error(), "35: cudaErrorInsufficientDriver (text of the error)") {
		t.Errorf("no driver: %v", err)
	}
}

func TestLibraryWithoutCUDAFunctionsIsRefused(t *testing.T) {
	if _, err := OpenCUDA(buildLibrary(t, "int nothing;")); err == nil || !strings.Contains(err.Error(), "has no cuda") {
		t.Errorf("error %v", err)
	}
	if _, err := Load("libfovea_absent.so.1"); err == nil || !strings.Contains(err.Error(), "libfovea_absent.so.1") {
		t.Errorf("error %v", err)
	}
}

func TestBlocksAreAlignedAndCounted(t *testing.T) {
	for _, size := range []int{1, 63, 4097} {
		block, err := Alloc(size)
		if err != nil {
			t.Fatal(err)
		}
		if address := uintptr(unsafe.Pointer(&block.Bytes()[0])); address%Alignment != 0 || block.Pinned() {
			t.Errorf("%d bytes begin at %#x", size, address)
		}
		if err := block.Free(); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, -1, 1 << 62} {
		if block, err := Alloc(size); err == nil {
			t.Errorf("%d bytes were allocated: %v", size, block.Free())
		}
	}
	if Blocks() != 0 {
		t.Errorf("counted %d blocks", Blocks())
	}
}
