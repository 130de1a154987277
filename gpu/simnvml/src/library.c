/* Init, shutdown, the driver's versions, and finding a handle by number or UUID. */
#include "simnvml.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int references;
static struct sim_device devices[SIM_MAX_GPUS][SIM_MAX_MIGS + 1];

int sim_initialized(void)
{
	pthread_mutex_lock(&lock);
	int n = references;
	pthread_mutex_unlock(&lock);
	return n > 0;
}

struct sim_device *sim_handle(int gpu, int mig)
{
	pthread_mutex_lock(&lock);
	struct sim_device *d = &devices[gpu][mig + 1];
	d->gpu = gpu;
	d->mig = mig;
	pthread_mutex_unlock(&lock);
	return d;
}

static void add_reference(int by)
{
	pthread_mutex_lock(&lock);
	references += by;
	pthread_mutex_unlock(&lock);
}

SIM_EXPORT int nvmlInit_v2(void)
{
	struct sim_file f;
	double code = SIM_OK;
	int status;

	add_reference(1);
	status = sim_enter(&f, NULL);
	if (status == SIM_OK) {
		sim_number(&f, &code, "init.error");
		status = (int)code;
		sim_close(&f);
	}
	if (status != SIM_OK)
		add_reference(-1);
	return status;
}

SIM_EXPORT int nvmlInit(void)
{
	return nvmlInit_v2();
}

SIM_EXPORT int nvmlShutdown(void)
{
	if (!sim_initialized())
		return SIM_UNINITIALIZED;
	add_reference(-1);
	return SIM_OK;
}

SIM_EXPORT const char *nvmlErrorString(int status)
{
	return status == SIM_OK ? "Success" : "Simulated error";
}

SIM_EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
	struct sim_file f;
	int status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	if (!sim_string(&f, out, size, "driver"))
		status = SIM_NOT_SUPPORTED;
	sim_close(&f);
	return status;
}

SIM_EXPORT int nvmlSystemGetCudaDriverVersion(int *out)
{
	struct sim_file f;
	double value = 0;
	int status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	if (sim_number(&f, &value, "cuda"))
		*out = (int)value;
	else
		status = SIM_NOT_SUPPORTED;
	sim_close(&f);
	return status;
}

#ifndef FOVEA_SIMNVML_OLD
SIM_EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *out)
{
	return nvmlSystemGetCudaDriverVersion(out);
}
#endif

SIM_EXPORT int nvmlDeviceGetCount_v2(unsigned *out)
{
	struct sim_file f;
	int gpus[SIM_MAX_GPUS], status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	*out = (unsigned)sim_visible(&f, gpus);
	sim_close(&f);
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct sim_device **out)
{
	struct sim_file f;
	int gpus[SIM_MAX_GPUS], n, status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	n = sim_visible(&f, gpus);
	sim_close(&f);
	if ((int)index >= n)
		return SIM_INVALID_ARGUMENT;
	*out = sim_handle(gpus[index], -1);
	status = sim_enter(&f, *out);
	if (status == SIM_OK)
		sim_close(&f);
	return status;
}

static struct sim_device *find(struct sim_file *f, const char *uuid)
{
	int gpus[SIM_MAX_GPUS], n = sim_visible(f, gpus);
	char text[96];

	for (int i = 0; i < n; i++) {
		if (sim_string(f, text, sizeof text, "gpu%d.uuid", gpus[i]) && strcmp(text, uuid) == 0)
			return sim_handle(gpus[i], -1);
		for (int m = 0; m < SIM_MAX_MIGS; m++)
			if (sim_string(f, text, sizeof text, "gpu%d.mig%d.uuid", gpus[i], m) && strcmp(text, uuid) == 0)
				return sim_handle(gpus[i], m);
	}
	return NULL;
}

SIM_EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, struct sim_device **out)
{
	struct sim_file f;
	int status = sim_enter(&f, NULL);

	if (status != SIM_OK)
		return status;
	*out = find(&f, uuid);
	sim_close(&f);
	if (!*out)
		return SIM_NOT_FOUND;
	status = sim_enter(&f, *out);
	if (status == SIM_OK)
		sim_close(&f);
	return status;
}
