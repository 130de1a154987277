/* Declarations of the simulated NVML. The numbers and layouts below are NVML's binary interface, restated by
 * Fovea as far as go-nvml calls it; names are Fovea's own. */
#ifndef FOVEA_SIMNVML_H
#define FOVEA_SIMNVML_H

#include <stddef.h>
#include <stdint.h>

#define SIM_EXPORT __attribute__((visibility("default")))
#define SIM_MAX_GPUS 16
#define SIM_MAX_MIGS 8

enum sim_status {
	SIM_OK = 0,
	SIM_UNINITIALIZED = 1,
	SIM_INVALID_ARGUMENT = 2,
	SIM_NOT_SUPPORTED = 3,
	SIM_NOT_FOUND = 6,
	SIM_TOO_SMALL = 7,
	SIM_NO_DRIVER = 9,
	SIM_TIMEOUT = 10,
	SIM_GPU_IS_LOST = 15,
	SIM_NO_MEMORY = 20,
};

/* A device handle points to one of these: a GPU of the file, or (mig >= 0) an instance of it. */
struct sim_device {
	int gpu;
	int mig;
};

/* A copy of the file's text. */
struct sim_file {
	char *text;
};

int sim_open(struct sim_file *f);
void sim_close(struct sim_file *f);

/* Each looks up one key, printf style; 1 when the key is there, else 0 and *out is untouched. */
int sim_string(struct sim_file *f, char *out, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int sim_number(struct sim_file *f, double *out, const char *format, ...) __attribute__((format(printf, 3, 4)));
int sim_flag(struct sim_file *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The highest number of gpuN's queued events; the first above after, or 0. */
unsigned sim_last_event(struct sim_file *f, int gpu);
unsigned sim_next_event(struct sim_file *f, int gpu, unsigned after, char *out, size_t size);

/* Which GPUs of the file this process sees, in order; returns how many. */
int sim_visible(struct sim_file *f, int gpus[SIM_MAX_GPUS]);

/* Opens the file for one call: waits while the file says that the call hangs, then answers for the state of the
 * library and, unless d is NULL, of the device. The caller closes f only after SIM_OK. */
int sim_enter(struct sim_file *f, const struct sim_device *d);

/* Seconds of a monotonic clock. */
double sim_now(void);

/* Whether nvmlInit was called more often than nvmlShutdown. */
int sim_initialized(void);

struct sim_device *sim_handle(int gpu, int mig);

#endif
