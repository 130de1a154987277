/* Reads the file that describes the simulated GPUs. Every call reads it again, so that edits take effect at once. */
#include "simnvml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

int sim_open(struct sim_file *f)
{
	const char *path = getenv("FOVEA_SIMNVML_FILE");
	FILE *in = path ? fopen(path, "r") : NULL;
	size_t size = 0, room = 4096;

	f->text = NULL;
	if (!in)
		return SIM_NO_DRIVER;
	for (;;) {
		char *grown = realloc(f->text, room + 1);
		if (!grown)
			break;
		f->text = grown;
		size += fread(f->text + size, 1, room - size, in);
		if (size < room) {
			f->text[size] = 0;
			fclose(in);
			return SIM_OK;
		}
		room *= 2;
	}
	fclose(in);
	sim_close(f);
	return SIM_NO_MEMORY;
}

void sim_close(struct sim_file *f)
{
	free(f->text);
	f->text = NULL;
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Copies the value of key; the last line that names it counts. */
static int lookup(struct sim_file *f, const char *key, char *out, size_t size)
{
	size_t length = strlen(key);
	int found = 0;

	for (const char *line = f->text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *p = skip_blanks(line);
		if (strncmp(p, key, length) != 0)
			continue;
		p = skip_blanks(p + length);
		if (*p != '=')
			continue;
		p = skip_blanks(p + 1);
		size_t n = strcspn(p, "#\r\n");
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n >= size)
			n = size - 1;
		memcpy(out, p, n);
		out[n] = 0;
		found = 1;
	}
	return found;
}

int sim_string(struct sim_file *f, char *out, size_t size, const char *format, ...)
{
	char key[128];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof key, format, args);
	va_end(args);
	return lookup(f, key, out, size);
}

static int number(struct sim_file *f, double *out, const char *key)
{
	char text[64], *end;

	if (!lookup(f, key, text, sizeof text))
		return 0;
	double value = strtod(text, &end);
	if (end == text)
		return 0;
	*out = value;
	return 1;
}

int sim_number(struct sim_file *f, double *out, const char *format, ...)
{
	char key[128];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof key, format, args);
	va_end(args);
	return number(f, out, key);
}

int sim_flag(struct sim_file *f, const char *format, ...)
{
	char key[128];
	double value = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof key, format, args);
	va_end(args);
	return number(f, &value, key) && value != 0;
}

/* Walks the lines "gpuN.event.NUMBER = ..." and keeps the lowest number above after, or the highest of all. */
static unsigned scan_events(struct sim_file *f, int gpu, unsigned after, int highest)
{
	char prefix[32];
	unsigned best = 0;

	snprintf(prefix, sizeof prefix, "gpu%d.event.", gpu);
	for (const char *line = f->text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *p = skip_blanks(line);
		if (strncmp(p, prefix, strlen(prefix)) != 0)
			continue;
		unsigned n = (unsigned)strtoul(p + strlen(prefix), NULL, 10);
		if (n > after && (best == 0 || (highest ? n > best : n < best)))
			best = n;
	}
	return best;
}

unsigned sim_last_event(struct sim_file *f, int gpu)
{
	return scan_events(f, gpu, 0, 1);
}

unsigned sim_next_event(struct sim_file *f, int gpu, unsigned after, char *out, size_t size)
{
	unsigned n = scan_events(f, gpu, after, 0);

	if (n && !sim_string(f, out, size, "gpu%d.event.%u", gpu, n))
		return 0;
	return n;
}

/* Whether one of the comma-separated names is this GPU's UUID or index. */
static int listed(const char *names, int gpu, const char *uuid)
{
	char index[16];

	snprintf(index, sizeof index, "%d", gpu);
	while (*names) {
		size_t n = strcspn(names, ",");
		if ((n == strlen(uuid) && strncmp(names, uuid, n) == 0) ||
		    (n == strlen(index) && strncmp(names, index, n) == 0))
			return 1;
		names += n + (names[n] == ',');
	}
	return 0;
}

/* Inside a container the runtime passes only the requested devices: by NVIDIA_VISIBLE_DEVICES, or, injected by CDI
 * with that variable "void", by GPU_SIM_VISIBLE_<i> (the test bench's simulated CDI devices set these). */
static int allowed(int gpu, const char *uuid)
{
	const char *names = getenv("NVIDIA_VISIBLE_DEVICES");
	int any = 0;

	for (int i = 0; i < SIM_MAX_GPUS; i++) {
		char name[40];
		snprintf(name, sizeof name, "GPU_SIM_VISIBLE_%d", i);
		const char *value = getenv(name);
		if (value && strcmp(value, uuid) == 0)
			return 1;
		any |= value != NULL;
	}
	if (any)
		return 0;
	if (!names || !*names || strcmp(names, "all") == 0 || strcmp(names, "void") == 0)
		return 1;
	return strcmp(names, "none") != 0 && listed(names, gpu, uuid);
}

int sim_visible(struct sim_file *f, int gpus[SIM_MAX_GPUS])
{
	char uuid[96];
	int n = 0;

	for (int i = 0; i < SIM_MAX_GPUS; i++)
		if (sim_string(f, uuid, sizeof uuid, "gpu%d.uuid", i) && allowed(i, uuid))
			gpus[n++] = i;
	return n;
}

/* The longest hang in the file, in seconds. */
static double hang(struct sim_file *f, const struct sim_device *d)
{
	double all = 0, one = 0;

	sim_number(f, &all, "hang");
	if (d)
		sim_number(f, &one, "gpu%d.hang", d->gpu);
	return all > one ? all : one;
}

double sim_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int sim_enter(struct sim_file *f, const struct sim_device *d)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	double start = sim_now(), code = 0;

	for (;;) {
		int status = sim_open(f);
		if (status != SIM_OK)
			return status;
		if (hang(f, d) <= sim_now() - start)
			break;
		sim_close(f);
		nanosleep(&pause, NULL);
	}
	if (!sim_initialized())
		code = SIM_UNINITIALIZED;
	else if (d && sim_flag(f, "gpu%d.lost", d->gpu))
		code = SIM_GPU_IS_LOST;
	else if (d)
		sim_number(f, &code, "gpu%d.error", d->gpu);
	if (code != SIM_OK)
		sim_close(f);
	return (int)code;
}
