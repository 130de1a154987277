package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// VisibleDevice is a device that CUDA shows to this process.
type VisibleDevice struct {
	UUID  string // of the GPU ("GPU-…") or of the MIG instance ("MIG-…")
	Index int    // NVML's index of the GPU
}

// VisibleDevices are the devices that CUDA shows to this process, in CUDA's order: "cuda:N" is the Nth.
type VisibleDevices struct {
	Devices []VisibleDevice
	// Missing are the identifiers in the environment that NVML does not show: misspelt ones, or those of a container that
	// lost its GPUs, such as by systemd's daemon-reload.
	Missing []string
}

// UUID returns the UUID of "cuda:N", or ErrUnknownDevice.
func (v VisibleDevices) UUID(n int) (string, error) {
	if n < 0 || n >= len(v.Devices) {
		missing := ""
		if len(v.Missing) > 0 {
			missing = "; not found: " + strings.Join(v.Missing, ", ")
		}
		return "", fmt.Errorf("%w: cuda:%d; CUDA shows %d device(s) to this process%s", ErrUnknownDevice, n, len(v.Devices), missing)
	}
	return v.Devices[n].UUID, nil
}

// VisibleDevices resolves which devices CUDA shows to this process, from its environment.
func (n *NVML) VisibleDevices(ctx context.Context) (VisibleDevices, error) {
	inventory, err := n.Inventory(ctx)
	if err != nil {
		return VisibleDevices{}, err
	}
	return ResolveVisibleDevices(inventory.Devices, os.LookupEnv)
}

// ResolveVisibleDevices resolves which of NVML's devices CUDA shows in an environment.
//
// CUDA_VISIBLE_DEVICES is CUDA's own: a list of indices and of UUIDs or their unique beginnings, in the order wanted;
// the first invalid one ends it; set but empty means none. Source: NVIDIA, "CUDA Programming Guide", CUDA
// Environment Variables. CUDA's indices follow the bus, as NVML's do, only when CUDA_DEVICE_ORDER is PCI_BUS_ID or the
// GPUs are all alike; else the fastest is first by an undocumented measure, and an index is an error here.
//
// NVIDIA_VISIBLE_DEVICES is for the container runtime, which applies it before the process starts, so NVML shows only what was
// granted, and the indices in it are the host's. Only "none" and missing UUIDs matter here. "void" means that the devices came
// another way (CDI) or not at all.
func ResolveVisibleDevices(devices []Device, lookup func(string) (string, bool)) (VisibleDevices, error) {
	granted, _ := lookup("NVIDIA_VISIBLE_DEVICES")
	v := VisibleDevices{Missing: ungranted(devices, granted)}
	if granted == "none" {
		return v, nil
	}
	all := enumerate(devices)
	order, _ := lookup("CUDA_DEVICE_ORDER")
	sure := order == "PCI_BUS_ID" || alike(devices)
	list, set := lookup("CUDA_VISIBLE_DEVICES")
	if !set {
		if v.Devices = all; !sure && len(all) > 1 {
			return v, errUncertain
		}
		return v, nil
	}
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		if _, err := strconv.ParseUint(name, 10, 31); err == nil && !sure {
			return VisibleDevices{}, errUncertain
		}
		device, ok := match(devices, all, name)
		if !ok {
			if name != "" && name != "-1" {
				v.Missing = append(v.Missing, name)
			}
			break
		}
		if slices.Contains(v.Devices, device) {
			return VisibleDevices{Missing: []string{name}}, nil // Naming a device twice makes CUDA show none.
		}
		v.Devices = append(v.Devices, device)
	}
	return v, nil
}

var errUncertain = errors.New("the GPUs are of different kinds, so CUDA's numbers for them are uncertain: set " +
	"CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID in CUDA_VISIBLE_DEVICES")

// enumerate lists the devices as CUDA does by default: the GPUs without MIG or, if one has MIG enabled, only the first
// instance, because a process uses one MIG instance at most. Source: NVIDIA, "Multi-Instance GPU User
// Guide", CUDA Visible Devices and Device Enumeration.
func enumerate(devices []Device) []VisibleDevice {
	var gpus, instances []VisibleDevice
	for _, d := range devices {
		if !d.MIG {
			gpus = append(gpus, VisibleDevice{d.UUID, d.Index})
			continue
		}
		for _, in := range d.Instances {
			instances = append(instances, VisibleDevice{in.UUID, d.Index})
		}
	}
	if len(instances) > 0 {
		return instances[:1]
	}
	return gpus
}

// alike reports whether CUDA's fastest-first order is the bus order because no GPU is faster.
func alike(devices []Device) bool {
	return !slices.ContainsFunc(devices, func(d Device) bool { return d.Name != devices[0].Name || d.MIG != devices[0].MIG })
}

// match finds the device that a name in CUDA_VISIBLE_DEVICES refers to.
func match(devices []Device, all []VisibleDevice, name string) (VisibleDevice, bool) {
	if index, err := strconv.ParseUint(name, 10, 31); err == nil {
		if index >= uint64(len(all)) {
			return VisibleDevice{}, false
		}
		return all[index], true
	}
	var found []VisibleDevice
	for _, d := range devices {
		if !d.MIG && strings.HasPrefix(name, "GPU-") && strings.HasPrefix(d.UUID, name) {
			found = append(found, VisibleDevice{d.UUID, d.Index})
		}
		for _, in := range d.Instances {
			if in.isNamed(name, d.UUID) {
				found = append(found, VisibleDevice{in.UUID, d.Index})
			}
		}
	}
	if len(found) != 1 {
		return VisibleDevice{}, false
	}
	return found[0], true
}

// isNamed reports whether a name is the instance's UUID, or its form in drivers before 470:
// MIG-<GPU's UUID>/<GPU instance>/<compute instance>.
func (in Instance) isNamed(name, gpu string) bool {
	return in.UUID == name || in.GPUInstance != nil && in.ComputeInstance != nil &&
		name == fmt.Sprintf("MIG-%s/%d/%d", gpu, *in.GPUInstance, *in.ComputeInstance)
}

// ungranted lists the UUIDs granted to the container that NVML does not show.
func ungranted(devices []Device, granted string) []string {
	var missing []string
	for _, name := range strings.Split(granted, ",") {
		name = strings.TrimSpace(name)
		if !strings.HasPrefix(name, "GPU-") && !strings.HasPrefix(name, "MIG-") {
			continue
		}
		known := slices.ContainsFunc(devices, func(d Device) bool {
			return d.UUID == name || slices.ContainsFunc(d.Instances, func(in Instance) bool { return in.isNamed(name, d.UUID) })
		})
		if !known {
			missing = append(missing, name)
		}
	}
	return missing
}
