package gpu

import (
	"context"
	"fmt"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Inventory reads the driver's versions and all GPUs. GPUs are read side by side, each under its own deadline; one that
// fails carries its error in Device.Err. An error is returned only if the driver itself does not answer.
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
	d, err := ask(ctx, n, n.lane(index), func() (Device, error) { return n.read(index), nil })
	if err != nil {
		d = Device{Index: index, Err: err}
	}
	n.remember(&d)
	return d
}

// remember keeps what identifies a GPU and its instances, and gives it back to one that no longer says it.
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

// handle finds the device with an index.
func (n *NVML) handle(index int) (nvml.Device, error) {
	device, status := n.api.DeviceGetHandleByIndex(index)
	return device, check(status)
}

// read asks for every value. It runs in the GPU's lane.
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

// query reads one device. It stops asking at the first error that concerns the whole device.
type query struct {
	n      *NVML
	device nvml.Device
	err    error
}

// ask runs one NVML call and tells whether it gave a value.
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
		// Its successor exists from driver 570 on only.
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
	var mode, most int
	q.ask("nvmlDeviceGetMigMode", func() nvml.Return { mode, _, status = q.device.GetMigMode(); return status })
	d.MIG = mode == nvml.DEVICE_MIG_ENABLE
	if !d.MIG {
		return
	}
	q.ask("nvmlDeviceGetMaxMigDeviceCount", func() nvml.Return {
		most, status = q.device.GetMaxMigDeviceCount()
		return status
	})
	for i := range most {
		var mig nvml.Device
		// Places may be empty between instances, so the search goes on after one that is not found.
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

// text reads a C string.
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
