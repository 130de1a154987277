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
	UUID     string // "GPU-…"; empty if the GPU never answered
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

	// Err says why the GPU is unusable: ErrLost, ErrNeedsRepair, ErrNotAnswering or another. Index is set then, and so are
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

// identity is what is still known of a GPU that stopped answering.
type identity struct {
	uuid, name, pciBusID string
	instances            []string // UUIDs
}

// Inventory reads the driver's versions and all GPUs. GPUs are read concurrently, each with its own deadline; one that
// fails has its error in Device.Err. An error is returned only if the driver itself does not answer.
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

// remember stores the identity of a GPU and its instances, or restores it if the GPU no longer reports it.
func (n *NVML) remember(d *Device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d.UUID == "" {
		id := n.known[d.Index]
		d.UUID, d.Name, d.PCIBusID = id.uuid, id.name, id.pciBusID
		return
	}
	id := identity{uuid: d.UUID, name: d.Name, pciBusID: d.PCIBusID}
	for _, in := range d.Instances {
		id.instances = append(id.instances, in.UUID)
	}
	n.known[d.Index] = id
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
	q.identity(&d)
	q.load(&d)
	q.errors(&d)
	q.instances(&d)
	switch {
	case q.err != nil:
		d.Err = fmt.Errorf("GPU %d: %w", index, q.err)
	case d.Recovery != nil && !d.Recovery.usable():
		d.Err = fmt.Errorf("GPU %d: %w: %s", index, ErrNeedsRepair, *d.Recovery)
	}
	return d
}

// query reads one device, until the first error that concerns the whole device.
type query struct {
	n      *NVML
	device nvml.Device
	err    error
}

// ask runs one NVML call and reports whether it returned a value.
func (q *query) ask(name string, fn func() nvml.Return) bool {
	if q.err != nil {
		return false
	}
	if have, listed := q.n.has[name]; listed && !have {
		return false
	}
	err := check(fn())
	if fatal(err) {
		q.err = err
	}
	return err == nil
}

func (q *query) identity(d *Device) {
	var status nvml.Return
	var pci nvml.PciInfo
	var capability ComputeCapability
	q.ask("", func() nvml.Return { d.UUID, status = q.device.GetUUID(); return status })
	q.ask("", func() nvml.Return { d.Name, status = q.device.GetName(); return status })
	if q.ask("", func() nvml.Return { pci, status = q.device.GetPciInfo(); return status }) {
		d.PCIBusID = text(pci.BusId[:])
	}
	if q.ask("", func() nvml.Return {
		capability.Major, capability.Minor, status = q.device.GetCudaComputeCapability()
		return status
	}) {
		d.ComputeCapability = &capability
	}
}

func (q *query) load(d *Device) {
	var status nvml.Return
	var rates nvml.Utilization
	var milliwatts, celsius uint32
	d.Memory = q.memory(q.device)
	if q.ask("", func() nvml.Return { rates, status = q.device.GetUtilizationRates(); return status }) {
		share := float64(rates.Gpu) / 100
		d.Utilization = &share
	}
	if q.ask("", func() nvml.Return { milliwatts, status = q.device.GetPowerUsage(); return status }) {
		watts := float64(milliwatts) / 1000
		d.PowerWatts = &watts
	}
	if q.ask("", func() nvml.Return {
		// its successor requires driver 570
		celsius, status = q.device.GetTemperature(nvml.TEMPERATURE_GPU)
		return status
	}) {
		degrees := float64(celsius)
		d.Temperature = &degrees
	}
}

// memory prefers the newer call: the older one counts what the driver reserves as used.
func (q *query) memory(device nvml.Device) *Memory {
	var status nvml.Return
	var v2 nvml.Memory_v2
	if q.ask("nvmlDeviceGetMemoryInfo_v2", func() nvml.Return { v2, status = device.GetMemoryInfo_v2(); return status }) {
		return &Memory{Total: v2.Total, Used: v2.Used}
	}
	var v1 nvml.Memory
	if q.ask("", func() nvml.Return { v1, status = device.GetMemoryInfo(); return status }) {
		return &Memory{Total: v1.Total, Used: v1.Used}
	}
	return nil
}

func (q *query) errors(d *Device) {
	d.ECCVolatile = q.ecc(nvml.VOLATILE_ECC)
	d.ECCAggregate = q.ecc(nvml.AGGREGATE_ECC)
	if q.err == nil {
		d.Recovery, q.err = q.n.readRecovery(q.device)
	}
}

func (q *query) ecc(counter nvml.EccCounterType) *uint64 {
	var status nvml.Return
	var count uint64
	if q.ask("", func() nvml.Return {
		count, status = q.device.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, counter)
		return status
	}) {
		return &count
	}
	return nil
}

func (q *query) instances(d *Device) {
	var status nvml.Return
	var mode, count int
	q.ask("nvmlDeviceGetMigMode", func() nvml.Return { mode, _, status = q.device.GetMigMode(); return status })
	d.MIG = mode == nvml.DEVICE_MIG_ENABLE
	if !d.MIG {
		return
	}
	q.ask("nvmlDeviceGetMaxMigDeviceCount", func() nvml.Return {
		count, status = q.device.GetMaxMigDeviceCount()
		return status
	})
	for i := range count {
		var mig nvml.Device
		// indices may be empty between instances
		if q.ask("nvmlDeviceGetMigDeviceHandleByIndex", func() nvml.Return {
			mig, status = q.device.GetMigDeviceHandleByIndex(i)
			return status
		}) {
			d.Instances = append(d.Instances, q.instance(mig))
		}
	}
}

func (q *query) instance(mig nvml.Device) Instance {
	var status nvml.Return
	var in Instance
	var gi, ci int
	q.ask("", func() nvml.Return { in.UUID, status = mig.GetUUID(); return status })
	if q.ask("nvmlDeviceGetGpuInstanceId", func() nvml.Return { gi, status = mig.GetGpuInstanceId(); return status }) {
		in.GPUInstance = &gi
	}
	if q.ask("nvmlDeviceGetComputeInstanceId", func() nvml.Return { ci, status = mig.GetComputeInstanceId(); return status }) {
		in.ComputeInstance = &ci
	}
	in.Memory = q.memory(mig)
	return in
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
