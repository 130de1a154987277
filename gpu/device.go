package gpu

import "fmt"

// Inventory is the driver and its GPUs as of one moment.
type Inventory struct {
	Driver  Driver
	Devices []Device // by NVML's index, which follows the PCI bus
}

// Device is one GPU. A nil pointer is a value that this GPU or driver does not tell, which is not the same as zero.
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

	// Err says why the GPU is of no use now: ErrLost, ErrNeedsRepair, ErrNotAnswering or another. Index, and UUID, Name
	// and PCIBusID if they were ever read, are still set; other values may be absent.
	Err error
}

// Memory is a GPU's or an instance's memory, in bytes.
type Memory struct{ Total, Used uint64 }

// ComputeCapability is CUDA's version of a GPU's abilities.
type ComputeCapability struct{ Major, Minor int }

// String gives the usual form, such as "9.0".
func (c ComputeCapability) String() string { return fmt.Sprintf("%d.%d", c.Major, c.Minor) }

// Instance is one MIG instance of a GPU, a CUDA device of its own.
type Instance struct {
	UUID            string // "MIG-…"
	GPUInstance     *int
	ComputeInstance *int
	Memory          *Memory
}

// identity is what stays when a GPU stops answering.
type identity struct {
	uuid, name, pciBusID string
	instances            []string // UUIDs
}
