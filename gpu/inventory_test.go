package gpu

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"fovea/gpu/simnvml"
)

func ptr[T any](v T) *T { return &v }

func healthy(i int) Device {
	return Device{
		Index: i, UUID: simnvml.UUID(i), Name: "NVIDIA H100 80GB HBM3", PCIBusID: []string{"00000000:18:00.0", "00000000:20:00.0"}[i],
		Memory: &Memory{Total: 85520809984, Used: 1073741824}, Utilization: ptr(0.37), PowerWatts: ptr(123.456),
		Temperature: ptr(45.0), ECCVolatile: ptr(uint64(0)), ECCAggregate: ptr(uint64(2)),
		ComputeCapability: &ComputeCapability{9, 0}, Recovery: ptr(RecoveryNone),
	}
}

func TestInventory(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f)
	got := inventory(t, n)
	want := Inventory{Driver: Driver{Version: "580.95.05", CUDA: "13.0"}, Devices: []Device{healthy(0), healthy(1)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	f.Set("gpu1.temperature", "91", "gpu1.utilization", "100", "gpu1.memory.used", "85520809984", "gpu1.ecc.volatile", "7")
	d := inventory(t, n).Devices[1]
	if *d.Temperature != 91 || *d.Utilization != 1 || d.Memory.Used != d.Memory.Total || *d.ECCVolatile != 7 {
		t.Errorf("after the values changed: %+v", d)
	}
}

func TestNotSupportedIsAbsentNotZero(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f)
	for key, clear := range map[string]func(*Device){
		"memory.total":  func(d *Device) { d.Memory = nil },
		"utilization":   func(d *Device) { d.Utilization = nil },
		"power":         func(d *Device) { d.PowerWatts = nil },
		"temperature":   func(d *Device) { d.Temperature = nil },
		"ecc.volatile":  func(d *Device) { d.ECCVolatile = nil },
		"ecc.aggregate": func(d *Device) { d.ECCAggregate = nil },
		"capability":    func(d *Device) { d.ComputeCapability = nil },
		"recovery":      func(d *Device) { d.Recovery = nil },
		"pci":           func(d *Device) { d.PCIBusID = "" },
		"name":          func(d *Device) { d.Name = "" },
		"mig":           func(*Device) {},
	} {
		t.Run(key, func(t *testing.T) {
			f.Delete("gpu0." + key)
			defer f.Set("gpu0."+key, simnvml.H100(0)["gpu0."+key])
			want := healthy(0)
			clear(&want)
			if got := inventory(t, n).Devices[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if err := n.Ping(context.Background(), simnvml.UUID(0)); err != nil {
				t.Errorf("the GPU does not answer: %v", err)
			}
		})
	}
}

func migMachine() map[string]string {
	return merged(simnvml.Machine(2), map[string]string{
		"gpu1.mig": "1", "gpu1.mig0.uuid": "MIG-a", "gpu1.mig0.gi": "1", "gpu1.mig0.ci": "0",
		"gpu1.mig0.memory.total": "42949672960", "gpu1.mig0.memory.used": "1024",
		"gpu1.mig2.uuid": "MIG-b", "gpu1.mig2.gi": "2", "gpu1.mig2.ci": "0",
	})
}

func TestMIGInstances(t *testing.T) {
	values := migMachine()
	delete(values, "gpu1.utilization") // as real GPUs with MIG do
	f := simnvml.New(t, values)
	n := open(t, f)
	want := healthy(1)
	want.MIG, want.Utilization = true, nil
	want.Instances = []Instance{
		{UUID: "MIG-a", GPUInstance: ptr(1), ComputeInstance: ptr(0), Memory: &Memory{Total: 42949672960, Used: 1024}},
		{UUID: "MIG-b", GPUInstance: ptr(2), ComputeInstance: ptr(0)},
	}
	if got := inventory(t, n).Devices[1]; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	ctx := context.Background()
	if err := n.Ping(ctx, "MIG-b"); err != nil {
		t.Errorf("instance: %v", err)
	}
	f.Delete("gpu1.mig2.uuid")
	if err := n.Ping(ctx, "MIG-b"); !errors.Is(err, ErrUnknownDevice) {
		t.Errorf("an instance that is gone: error %v, want %v", err, ErrUnknownDevice)
	}
	f.Set("gpu1.lost", "1")
	if err := n.Ping(ctx, "MIG-a"); !errors.Is(err, ErrLost) {
		t.Errorf("an instance of a lost GPU: error %v, want %v", err, ErrLost)
	}
}

func TestPing(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f)
	uuid := simnvml.UUID(0)
	ctx := context.Background()
	inventory(t, n)
	for name, c := range map[string]struct {
		key, value string
		want       error
		text       string
	}{
		"lost":                   {"gpu0.lost", "1", ErrLost, "the GPU is lost"},
		"must be reset":          {"gpu0.error", "16", ErrNeedsRepair, "it must be reset"},
		"recovery by reset":      {"gpu0.recovery", "1", ErrNeedsRepair, "reset"},
		"recovery by reboot":     {"gpu0.recovery", "2", ErrNeedsRepair, "node reboot"},
		"an unknown recovery":    {"gpu0.recovery", "99", ErrNeedsRepair, "action 99"},
		"another error":          {"gpu0.error", "999", nil, "GPU 0: unknown error (NVML status 999)"},
		"interrupts do not work": {"gpu0.error", "11", nil, "interrupts"},
	} {
		t.Run(name, func(t *testing.T) {
			f.Set(c.key, c.value)
			defer f.Set(c.key, "0")
			err := n.Ping(ctx, uuid)
			if err == nil || !strings.Contains(err.Error(), c.text) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("error %v, want %v saying %q", err, c.want, c.text)
			}
			d := inventory(t, n).Devices[0]
			if d.Err == nil || (c.want != nil && !errors.Is(d.Err, c.want)) || d.UUID != uuid {
				t.Errorf("inventory: %+v", d)
			}
			if err := n.Ping(ctx, simnvml.UUID(1)); err != nil {
				t.Errorf("the other GPU: %v", err)
			}
		})
	}
	if err := n.Ping(ctx, uuid); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	if err := n.Ping(ctx, "GPU-none"); !errors.Is(err, ErrUnknownDevice) {
		t.Errorf("error %v, want %v", err, ErrUnknownDevice)
	}
}

func TestGPUWithUnknownUUID(t *testing.T) {
	f := simnvml.New(t, merged(simnvml.Machine(2), map[string]string{"gpu1.lost": "1"}))
	n := open(t, f)
	err := n.Ping(context.Background(), simnvml.UUID(1))
	if !errors.Is(err, ErrUnknownDevice) || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "GPU 1") {
		t.Errorf("error %v", err)
	}
	if d := inventory(t, n).Devices[1]; d.Index != 1 || d.UUID != "" || !errors.Is(d.Err, ErrLost) {
		t.Errorf("%+v", d)
	}
	f.Delete("gpu1.lost")
	if err := n.Ping(context.Background(), simnvml.UUID(1)); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestInventoryWithoutADriver(t *testing.T) {
	values := simnvml.Machine(0)
	delete(values, "driver")
	n := open(t, simnvml.New(t, values))
	if _, err := n.Inventory(context.Background()); err == nil || !strings.Contains(err.Error(), "driver version") {
		t.Errorf("error %v", err)
	}
}

// What the simulated library never says: a value refused for lack of permission is absent, and the others are read.
func TestOneValueFails(t *testing.T) {
	device := &mock.Device{
		GetUUIDFunc:                  func() (string, nvml.Return) { return "GPU-m", nvml.SUCCESS },
		GetNameFunc:                  func() (string, nvml.Return) { return "mock", nvml.SUCCESS },
		GetPciInfoFunc:               func() (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{}, nvml.SUCCESS },
		GetCudaComputeCapabilityFunc: func() (int, int, nvml.Return) { return 8, 6, nvml.SUCCESS },
		GetMemoryInfoFunc:            func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_NO_PERMISSION },
		GetUtilizationRatesFunc:      func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_UNKNOWN },
		GetPowerUsageFunc:            func() (uint32, nvml.Return) { return 0, nvml.SUCCESS },
		GetTemperatureFunc:           func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_NO_DATA },
		GetTotalEccErrorsFunc: func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) {
			return 0, nvml.ERROR_NOT_SUPPORTED
		},
	}
	n := newNVML(&mock.Interface{DeviceGetHandleByIndexFunc: func(int) (nvml.Device, nvml.Return) { return device, nvml.SUCCESS }})
	defer n.close()
	n.has = map[string]bool{}
	for _, name := range newer {
		n.has[name] = false
	}
	want := Device{UUID: "GPU-m", Name: "mock", ComputeCapability: &ComputeCapability{8, 6}, PowerWatts: ptr(0.0)}
	if got := n.device(context.Background(), 0); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A GPU that is lost while it is read is asked for nothing more.
func TestLossDuringARead(t *testing.T) {
	device := &mock.Device{
		GetUUIDFunc: func() (string, nvml.Return) { return "GPU-m", nvml.SUCCESS },
		GetNameFunc: func() (string, nvml.Return) { return "", nvml.ERROR_GPU_IS_LOST },
	}
	n := newNVML(&mock.Interface{DeviceGetHandleByIndexFunc: func(int) (nvml.Device, nvml.Return) { return device, nvml.SUCCESS }})
	defer n.close()
	if got := n.device(context.Background(), 0); got.UUID != "GPU-m" || !errors.Is(got.Err, ErrLost) {
		t.Errorf("got %+v", got)
	}
}

func TestInventoryFromManyGoroutines(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, withTimeout(testTimeout))
	done := make(chan error)
	for range 8 {
		go func() {
			var err error
			for range 5 {
				_, e := n.Inventory(context.Background())
				err = errors.Join(err, e, n.Ping(context.Background(), simnvml.UUID(1)))
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
