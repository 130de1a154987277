/* Events. A line "gpu0.event.7 = xid 79" is the seventh event of GPU 0: it reaches, once, every event set to which
 * the GPU was added before the line appeared. */
#include "simnvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENT_SINGLE_BIT_ECC 1ULL
#define EVENT_DOUBLE_BIT_ECC 2ULL
#define EVENT_XID 8ULL
#define EVENT_RECOVERY_ACTION 0x8000ULL
#define NO_INSTANCE 0xFFFFFFFFu

struct event_data {
	struct sim_device *device;
	unsigned long long type, data;
	unsigned gpu_instance, compute_instance;
};

struct event_set {
	unsigned long long types[SIM_MAX_GPUS];
	unsigned seen[SIM_MAX_GPUS];
};

SIM_EXPORT int nvmlEventSetCreate(struct event_set **out)
{
	struct sim_file f;
	int status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	sim_close(&f);
	*out = calloc(1, sizeof **out);
	return *out ? SIM_OK : SIM_NO_MEMORY;
}

SIM_EXPORT int nvmlEventSetFree(struct event_set *set)
{
	free(set);
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceGetSupportedEventTypes(struct sim_device *d, unsigned long long *out)
{
	struct sim_file f;
	double mask = 0;
	int status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	*out = EVENT_SINGLE_BIT_ECC | EVENT_DOUBLE_BIT_ECC | EVENT_XID | EVENT_RECOVERY_ACTION;
	if (sim_number(&f, &mask, "gpu%d.events", d->gpu))
		*out = (unsigned long long)mask;
	sim_close(&f);
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceRegisterEvents(struct sim_device *d, unsigned long long types, struct event_set *set)
{
	struct sim_file f;
	int status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	set->types[d->gpu] = types;
	set->seen[d->gpu] = sim_last_event(&f, d->gpu);
	sim_close(&f);
	return SIM_OK;
}

/* Reads "xid 79", "xid 31 gi 1 ci 0", "sbe", "dbe" or "recovery". */
static void parse(const char *text, struct event_data *out)
{
	out->type = 0;
	out->data = 0;
	out->gpu_instance = out->compute_instance = NO_INSTANCE;
	if (sscanf(text, "xid %llu gi %u ci %u", &out->data, &out->gpu_instance, &out->compute_instance) >= 1)
		out->type = EVENT_XID;
	else if (strcmp(text, "sbe") == 0)
		out->type = EVENT_SINGLE_BIT_ECC;
	else if (strcmp(text, "dbe") == 0)
		out->type = EVENT_DOUBLE_BIT_ECC;
	else if (strcmp(text, "recovery") == 0)
		out->type = EVENT_RECOVERY_ACTION;
}

/* Reads the file once: an event, an error, or SIM_TIMEOUT for nothing new. */
static int look(struct event_set *set, struct event_data *out)
{
	struct sim_file f;
	char text[64];
	double code = SIM_TIMEOUT;
	int status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	sim_number(&f, &code, "events.error");
	for (int g = 0; g < SIM_MAX_GPUS && code == SIM_TIMEOUT; g++) {
		if (!set->types[g])
			continue;
		unsigned n = sim_next_event(&f, g, set->seen[g], text, sizeof text);
		if (n) {
			set->seen[g] = n;
			parse(text, out);
			out->device = sim_handle(g, -1);
			if (out->type & set->types[g])
				code = SIM_OK;
		} else if (sim_flag(&f, "gpu%d.lost", g)) {
			code = SIM_GPU_IS_LOST;
		}
	}
	sim_close(&f);
	return (int)code;
}

SIM_EXPORT int nvmlEventSetWait_v2(struct event_set *set, struct event_data *out, unsigned milliseconds)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (double end = sim_now() + milliseconds / 1e3;;) {
		int status = look(set, out);
		if (status != SIM_TIMEOUT || sim_now() >= end)
			return status;
		nanosleep(&pause, NULL);
	}
}
