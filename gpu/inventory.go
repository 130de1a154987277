package gpu

import (
	"context"
	"fmt"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Inventory is a snapshot of the driver and its GPUs.
type Inventory struct {
	Driver  Driver
	Devices []Device // by NVML's index, which follows the PCI bus
}

// Device is one GPU. A nil pointer is a value that this GPU or driver does not report.
type Device struct {
	Index    int    // NVML's index
	UUID     string // "GPU-…"; empty if the GPU never responded
	Name     string
	PCIBusID string // "domain:bus:device.function"

	Memory            *Memory
	Utilization       *float64 // share of the last sample period in which a kernel ran, 0 to 1; nil with MIG
	PowerWatts        *float64
	Temperature       *float64 // of the GPU die, °C
	ECCVolatile       *uint64  // uncorrected memory errors since the driver was loaded
	ECCAggregate      *uint64  // uncorrected memory errors over the GPU's life
	ComputeCapability *ComputeCapability
	Recovery          *RecoveryAction

	MIG       bool // the GPU is split into instances
	Instances []Instance

	// Err says why the GPU is unusable: ErrLost, ErrNeedsRepair, ErrUnresponsive or another. Index is set then, and so are
	// UUID, Name and PCIBusID if they were ever read; other values may be missing.
	Err error
}

// Memory is a GPU's or an instance's memory, in bytes.
type Memory struct{ Total, Used uint64 }

// ComputeCapability is CUDA's version of a GPU's features.
type ComputeCapability struct{ Major, Minor int }

// String formats it like "9.0".
func (c ComputeCapability) String() string { return fmt.Sprintf("%d.%d", c.Major, c.Minor) }

// Instance is one MIG instance of a GPU, which CUDA treats as a device.
type Instance struct {
	UUID            string // "MIG-…"
	GPUInstance     *int
	ComputeInstance *int
	Memory          *Memory
}

// Inventory reads the driver's versions and all GPUs. GPUs are read concurrently, each with its own deadline; one that
// fails has its error in Device.Err. An error is returned only if the driver itself does not respond.
func (n *NVML) Inventory(ctx context.Context) (Inventory, error) {
	driver, err := n.Driver(ctx)
	if err != nil {
		return Inventory{}, err
	}
	count, err := n.count(ctx)
	if err != nil {
		return Inventory{}, err
	}
	devices := make([]Device, count)
	var readers sync.WaitGroup
	for i := range devices {
		readers.Go(func() { devices[i] = n.device(ctx, i) })
	}
	readers.Wait()
	return Inventory{Driver: driver, Devices: devices}, nil
}

func (n *NVML) count(ctx context.Context) (int, error) {
	return ask(ctx, n, n.system, func() (int, error) {
		count, status := n.api.DeviceGetCount()
		return count, check(status)
	})
}

// device reads one GPU.
func (n *NVML) device(ctx context.Context, index int) Device {
	d, err := ask(ctx, n, n.executor(index), func() (Device, error) { return n.read(index), nil })
	if err != nil {
		d = Device{Index: index, Err: err}
	}
	n.remember(&d)
	return d
}

// remember stores the values of a GPU, or restores its identity if the GPU no longer reports it.
func (n *NVML) remember(d *Device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d.UUID != "" {
		n.known[d.Index] = *d
		return
	}
	known := n.known[d.Index]
	d.UUID, d.Name, d.PCIBusID = known.UUID, known.Name, known.PCIBusID
}

// handle returns the device with an index.
func (n *NVML) handle(index int) (nvml.Device, error) {
	device, status := n.api.DeviceGetHandleByIndex(index)
	return device, check(status)
}

// read reads every value. It runs in the GPU's executor.
func (n *NVML) read(index int) Device {
	d := Device{Index: index}
	device, err := n.handle(index)
	if err != nil {
		d.Err = fmt.Errorf("GPU %d: %w", index, err)
		return d
	}
	q := query{n: n, device: device}
	q.describe(&d)
	q.measure(&d)
	q.instances(&d)
	if q.err == nil {
		q.err = d.Recovery.err()
	}
	if q.err != nil {
		d.Err = fmt.Errorf("GPU %d: %w", index, q.err)
	}
	return d
}

// query reads one device, until the first error that concerns the whole device.
type query struct {
	n      *NVML
	device nvml.Device
	err    error
}

// get returns the result of one NVML call; nil if it fails. name is that of a function which old libraries lack, else empty.
func get[T any](q *query, name string, fn func() (T, nvml.Return)) *T {
	if have, listed := q.n.has[name]; q.err != nil || listed && !have {
		return nil
	}
	value, status := fn()
	err := check(status)
	if fatal(err) {
		q.err = err
	}
	if err != nil {
		return nil
	}
	return &value
}

// orZero returns the value, or zero for nil.
func orZero[T any](value *T) (v T) {
	if value != nil {
		v = *value
	}
	return v
}

// scaled divides a value, if there is one.
func scaled(value *uint32, by float64) *float64 {
	if value == nil {
		return nil
	}
	quotient := float64(*value) / by
	return &quotient
}

func (q *query) describe(d *Device) {
	d.UUID = orZero(get(q, "", q.device.GetUUID))
	d.Name = orZero(get(q, "", q.device.GetName))
	pci := orZero(get(q, "", q.device.GetPciInfo))
	d.PCIBusID = text(pci.BusId[:])
	d.ComputeCapability = get(q, "", func() (ComputeCapability, nvml.Return) {
		major, minor, status := q.device.GetCudaComputeCapability()
		return ComputeCapability{major, minor}, status
	})
}

func (q *query) measure(d *Device) {
	d.Memory = q.memory(q.device)
	d.Utilization = scaled(get(q, "", func() (uint32, nvml.Return) {
		rates, status := q.device.GetUtilizationRates()
		return rates.Gpu, status
	}), 100)
	d.PowerWatts = scaled(get(q, "", q.device.GetPowerUsage), 1000) // from milliwatts
	d.Temperature = scaled(get(q, "", func() (uint32, nvml.Return) {
		return q.device.GetTemperature(nvml.TEMPERATURE_GPU) // its successor requires driver 570
	}), 1)
	d.ECCVolatile = q.ecc(nvml.VOLATILE_ECC)
	d.ECCAggregate = q.ecc(nvml.AGGREGATE_ECC)
	if q.err == nil {
		d.Recovery, q.err = q.n.readRecovery(q.device)
	}
}

// memory prefers the newer call: the older one counts what the driver reserves as used.
func (q *query) memory(device nvml.Device) *Memory {
	if v2 := get(q, "nvmlDeviceGetMemoryInfo_v2", device.GetMemoryInfo_v2); v2 != nil {
		return &Memory{Total: v2.Total, Used: v2.Used}
	}
	if v1 := get(q, "", device.GetMemoryInfo); v1 != nil {
		return &Memory{Total: v1.Total, Used: v1.Used}
	}
	return nil
}

func (q *query) ecc(counter nvml.EccCounterType) *uint64 {
	return get(q, "", func() (uint64, nvml.Return) {
		return q.device.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, counter)
	})
}

func (q *query) instances(d *Device) {
	mode := orZero(get(q, "nvmlDeviceGetMigMode", func() (int, nvml.Return) {
		mode, _, status := q.device.GetMigMode()
		return mode, status
	}))
	if d.MIG = mode == nvml.DEVICE_MIG_ENABLE; !d.MIG {
		return
	}
	for i := range orZero(get(q, "nvmlDeviceGetMaxMigDeviceCount", q.device.GetMaxMigDeviceCount)) {
		mig := get(q, "nvmlDeviceGetMigDeviceHandleByIndex", func() (nvml.Device, nvml.Return) {
			return q.device.GetMigDeviceHandleByIndex(i)
		})
		if mig == nil {
			continue // indices may be empty between instances
		}
		d.Instances = append(d.Instances, Instance{
			UUID:            orZero(get(q, "", (*mig).GetUUID)),
			GPUInstance:     get(q, "nvmlDeviceGetGpuInstanceId", (*mig).GetGpuInstanceId),
			ComputeInstance: get(q, "nvmlDeviceGetComputeInstanceId", (*mig).GetComputeInstanceId),
			Memory:          q.memory(*mig),
		})
	}
}

// text converts a C string.
func text(c []int8) string {
	b := make([]byte, 0, len(c))
	for _, ch := range c {
		if ch == 0 {
			break
		}
		b = append(b, byte(ch))
	}
	return string(b)
}
