// The CUDA runtime, simulated. Signatures and numbers are those of CUDA 13's cuda_runtime_api.h and driver_types.h.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { success = 0, out_of_memory = 2, no_device = 100, invalid_device = 101 };

static _Thread_local int current, last;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t used;

static size_t number(const char *variable, size_t otherwise) {
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 10) : otherwise;
}
static size_t memory(void) { return number("SIMCUDA_MEMORY", (size_t)8 << 30); }
static int devices(void) { return (int)number("SIMCUDA_DEVICES", 1); }

// fault is the error that stays on the device, 0 for none.
static int fault(void) {
	const char *name = getenv("SIMCUDA_FAULT_FILE");
	FILE *file = name ? fopen(name, "r") : NULL;
	int code = 0;
	if (file != NULL) {
		if (fscanf(file, "%d", &code) != 1)
			code = 0;
		fclose(file);
	}
	return code;
}

int cudaGetDeviceCount(int *n) { return *n = devices(), *n > 0 ? success : no_device; }
int cudaSetDevice(int d) { return d < 0 || d >= devices() ? invalid_device : (current = d, success); }
int cudaGetDevice(int *d) { return *d = current, success; }
int cudaDriverGetVersion(int *v) { return *v = 13000, success; }
int cudaRuntimeGetVersion(int *v) { return *v = 13000, success; }

// Attributes by their numbers: 10 warp size, 16 multiprocessors, 75 and 76 compute capability.
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
	(void)device;
	switch (attribute) {
	case 10: *value = 32; break;
	case 16: *value = 132; break;
	case 75: *value = 9; break;
	case 76: *value = 0; break;
	default: *value = 1024;
	}
	return success;
}

// The head of cudaDeviceProp, of which the rest is zero.
struct properties {
	char name[256], uuid[16], luid[8];
	unsigned luid_mask;
	size_t total, shared;
	int registers, warp;
	size_t pitch;
	int threads, threads_dim[3], grid[3];
	int unused[3];
	int major, minor;
	size_t texture[2];
	int multiprocessors;
};

int cudaGetDeviceProperties(struct properties *p, int device) {
	(void)device;
	memset(p, 0, 1008);
	strcpy(p->name, "simulated");
	p->total = memory();
	p->shared = 48 << 10;
	p->registers = 65536;
	p->warp = 32;
	p->threads = p->threads_dim[0] = p->threads_dim[1] = 1024;
	p->threads_dim[2] = 64;
	p->grid[0] = 0x7FFFFFFF;
	p->grid[1] = p->grid[2] = 65535;
	p->major = 9;
	p->multiprocessors = 132;
	return success;
}

// ---- memory: the size of a block stands before it; blocks begin on multiples of 256, as CUDA's do ----

enum { alignment = 256 };

int cudaMalloc(void **p, size_t size) {
	int code = fault();
	if (code)
		return code;
	pthread_mutex_lock(&mutex);
	int fits = size <= memory() - used;
	if (fits)
		used += size;
	pthread_mutex_unlock(&mutex);
	char *block = fits ? aligned_alloc(alignment, alignment + (size + alignment - 1) / alignment * alignment) : NULL;
	if (block == NULL)
		return last = out_of_memory;
	*(size_t *)block = size;
	*p = block + alignment;
	return success;
}
int cudaFree(void *p) {
	if (p == NULL)
		return success;
	char *block = (char *)p - alignment;
	pthread_mutex_lock(&mutex);
	used -= *(size_t *)block;
	pthread_mutex_unlock(&mutex);
	free(block);
	return success;
}
int cudaMemGetInfo(size_t *unused, size_t *all) {
	*all = memory();
	pthread_mutex_lock(&mutex);
	*unused = *all - used;
	pthread_mutex_unlock(&mutex);
	return success;
}
int cudaHostAlloc(void **p, size_t size, unsigned flags) {
	(void)flags;
	*p = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
	return *p ? success : out_of_memory;
}
int cudaMallocHost(void **p, size_t size) { return cudaHostAlloc(p, size, 0); }
int cudaFreeHost(void *p) { return free(p), success; }
int cudaMemcpy(void *to, const void *from, size_t n) { return memcpy(to, from, n), fault(); }
// What comes from the device (kind 2) is zero, since nothing was computed there: any other bytes could read as NaN.
int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind) {
	if (kind == 2)
		memset(to, 0, n);
	else
		memcpy(to, from, n);
	return fault();
}
int cudaMemset(void *to, int value, size_t n) { return memset(to, value, n), success; }
int cudaMemsetAsync(void *to, int value, size_t n) { return memset(to, value, n), success; }

// ---- streams and events have nothing in them: all is done when a call returns ----

static int made(void **thing) { return *thing = calloc(1, 16), *thing ? success : out_of_memory; }
int cudaStreamCreate(void **s) { return made(s); }
int cudaStreamCreateWithFlags(void **s) { return made(s); }
int cudaStreamDestroy(void *s) { return free(s), success; }
int cudaStreamIsCapturing(void *s, int *status) { return (void)s, *status = 0, success; }
int cudaEventCreate(void **e) { return made(e); }
int cudaEventCreateWithFlags(void **e) { return made(e); }
int cudaEventDestroy(void *e) { return free(e), success; }
int cudaMemPoolCreate(void **p) { return made(p); }
int cudaMemPoolDestroy(void *p) { return free(p), success; }
int cudaStreamSynchronize(void) { return fault(); }
int cudaDeviceSynchronize(void) { return fault(); }

// ---- errors ----

int cudaGetLastError(void) {
	int code = fault();
	code = code ? code : last;
	last = success;
	return code;
}
int cudaPeekAtLastError(void) {
	int code = fault();
	return code ? code : last;
}
const char *cudaGetErrorName(int code) { return code == out_of_memory ? "cudaErrorMemoryAllocation" : "cudaErrorSimulated"; }
const char *cudaGetErrorString(int code) { return code == out_of_memory ? "out of memory" : "simulated error"; }

// ---- kernels ----

static void *module;
void **__cudaRegisterFatBinary(void) { return &module; }
void __cudaRegisterFatBinaryEnd(void) {}
void __cudaUnregisterFatBinary(void) {}
void __cudaRegisterFunction(void) {}
void __cudaRegisterVar(void) {}
int cudaLaunchKernel(void) { return fault(); }
int cudaFuncGetAttributes(void *attributes) { return memset(attributes, 0, 144), success; }
int cudaPointerGetAttributes(void *attributes) { return memset(attributes, 0, 32), success; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n) { return *n = 1, success; }
int cudaGetDriverEntryPointByVersion(const char *name, void **function) { return (void)name, *function = NULL, success; }
