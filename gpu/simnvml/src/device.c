/* Queries of one device. A missing key is a value that the device does not support. */
#include "simnvml.h"

#include <stdio.h>
#include <string.h>

struct pci_info {
	char bus_id_legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char bus_id[32];
};

struct memory {
	unsigned long long total, free, used;
};

struct memory_v2 {
	unsigned version;
	unsigned long long total, reserved, free, used;
};

struct utilization {
	unsigned gpu, memory;
};

struct field_value {
	unsigned id, scope;
	long long timestamp, latency;
	unsigned type;
	int status;
	union {
		double d;
		unsigned u;
		unsigned long long ull;
	} value;
};

#define FIELD_RECOVERY_ACTION 230
#define TYPE_UNSIGNED_INT 1

/* The prefix of a key: the GPU's, or its instance's if the handle is one's. */
static void key_of(const struct sim_device *d, char *out, size_t size, const char *name)
{
	if (d->mig < 0)
		snprintf(out, size, "gpu%d.%s", d->gpu, name);
	else
		snprintf(out, size, "gpu%d.mig%d.%s", d->gpu, d->mig, name);
}

static int text(struct sim_device *d, const char *name, char *out, unsigned size)
{
	struct sim_file f;
	char key[64];
	int status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	key_of(d, key, sizeof key, name);
	if (!sim_string(&f, out, size, "%s", key))
		status = SIM_NOT_SUPPORTED;
	sim_close(&f);
	return status;
}

static int number(struct sim_device *d, const char *name, double *out)
{
	struct sim_file f;
	char key[64];
	int status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	key_of(d, key, sizeof key, name);
	if (!sim_number(&f, out, "%s", key))
		status = SIM_NOT_SUPPORTED;
	sim_close(&f);
	return status;
}

SIM_EXPORT int nvmlDeviceGetUUID(struct sim_device *d, char *out, unsigned size)
{
	return text(d, "uuid", out, size);
}

SIM_EXPORT int nvmlDeviceGetName(struct sim_device *d, char *out, unsigned size)
{
	return text(d, "name", out, size);
}

SIM_EXPORT int nvmlDeviceGetPciInfo_v3(struct sim_device *d, struct pci_info *out)
{
	memset(out, 0, sizeof *out);
	return text(d, "pci", out->bus_id, sizeof out->bus_id);
}

SIM_EXPORT int nvmlDeviceGetMemoryInfo(struct sim_device *d, struct memory *out)
{
	double total = 0, used = 0;
	int status = number(d, "memory.total", &total);

	if (status == SIM_OK)
		status = number(d, "memory.used", &used);
	out->total = (unsigned long long)total;
	out->used = (unsigned long long)used;
	out->free = out->total - out->used;
	return status;
}

#ifndef FOVEA_SIMNVML_OLD
SIM_EXPORT int nvmlDeviceGetMemoryInfo_v2(struct sim_device *d, struct memory_v2 *out)
{
	struct memory m;
	int status = nvmlDeviceGetMemoryInfo(d, &m);

	out->total = m.total;
	out->used = m.used;
	out->free = m.free;
	out->reserved = 0;
	return status;
}
#endif

SIM_EXPORT int nvmlDeviceGetUtilizationRates(struct sim_device *d, struct utilization *out)
{
	double percent = 0;
	int status = number(d, "utilization", &percent);

	out->gpu = (unsigned)percent;
	out->memory = 0;
	return status;
}

SIM_EXPORT int nvmlDeviceGetPowerUsage(struct sim_device *d, unsigned *milliwatts)
{
	double watts = 0;
	int status = number(d, "power", &watts);

	*milliwatts = (unsigned)(watts * 1000 + 0.5);
	return status;
}

SIM_EXPORT int nvmlDeviceGetTemperature(struct sim_device *d, int sensor, unsigned *celsius)
{
	double value = 0;
	int status = sensor == 0 ? number(d, "temperature", &value) : SIM_INVALID_ARGUMENT;

	*celsius = (unsigned)value;
	return status;
}

SIM_EXPORT int nvmlDeviceGetTotalEccErrors(struct sim_device *d, int kind, int counter, unsigned long long *out)
{
	double value = 0;
	int status = SIM_NOT_SUPPORTED;

	if (kind == 1)
		status = number(d, counter == 0 ? "ecc.volatile" : "ecc.aggregate", &value);
	*out = (unsigned long long)value;
	return status;
}

SIM_EXPORT int nvmlDeviceGetCudaComputeCapability(struct sim_device *d, int *major, int *minor)
{
	char value[16] = "";
	int status = text(d, "capability", value, sizeof value);

	if (status == SIM_OK && sscanf(value, "%d.%d", major, minor) != 2)
		status = SIM_NOT_SUPPORTED;
	return status;
}

#ifndef FOVEA_SIMNVML_OLD
SIM_EXPORT int nvmlDeviceGetFieldValues(struct sim_device *d, int count, struct field_value *values)
{
	for (int i = 0; i < count; i++) {
		double value = 0;
		int status = SIM_NOT_SUPPORTED;

		if (values[i].id == FIELD_RECOVERY_ACTION)
			status = number(d, "recovery", &value);
		if (status != SIM_OK && status != SIM_NOT_SUPPORTED)
			return status;
		values[i].type = TYPE_UNSIGNED_INT;
		values[i].status = status;
		values[i].value.ull = 0;
		values[i].value.u = (unsigned)value;
	}
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceGetMigMode(struct sim_device *d, unsigned *current, unsigned *pending)
{
	double value = 0;
	int status = d->mig < 0 ? number(d, "mig", &value) : SIM_NOT_SUPPORTED;

	*current = *pending = (unsigned)value;
	return status;
}

SIM_EXPORT int nvmlDeviceGetMaxMigDeviceCount(struct sim_device *d, unsigned *out)
{
	struct sim_file f;
	int status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	sim_close(&f);
	*out = SIM_MAX_MIGS;
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(struct sim_device *d, unsigned index, struct sim_device **out)
{
	struct sim_file f;
	char uuid[96];
	int found, status = sim_enter(&f, d);

	if (status != SIM_OK)
		return status;
	found = index < SIM_MAX_MIGS && sim_string(&f, uuid, sizeof uuid, "gpu%d.mig%u.uuid", d->gpu, index);
	sim_close(&f);
	if (!found)
		return SIM_NOT_FOUND;
	*out = sim_handle(d->gpu, (int)index);
	return SIM_OK;
}

SIM_EXPORT int nvmlDeviceGetGpuInstanceId(struct sim_device *d, unsigned *out)
{
	double value = 0;
	int status = d->mig < 0 ? SIM_NOT_SUPPORTED : number(d, "gi", &value);

	*out = (unsigned)value;
	return status;
}

SIM_EXPORT int nvmlDeviceGetComputeInstanceId(struct sim_device *d, unsigned *out)
{
	double value = 0;
	int status = d->mig < 0 ? SIM_NOT_SUPPORTED : number(d, "ci", &value);

	*out = (unsigned)value;
	return status;
}
#endif
