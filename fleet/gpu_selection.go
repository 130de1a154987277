package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fovea/gpu"
)

// gpuTarget is a GPU or MIG instance that replicas can run on.
type gpuTarget struct {
	name   string // gpu0, or gpu0m1 for its second MIG instance
	device string
	gpu    string
	index  int // NVML index of the GPU
}

// gpuPlacements returns the placements on the GPUs that the configuration selects. Lost GPUs, which may not report
// their UUID, are taken from the saved state. All errors are returned together.
func gpuPlacements(c Config, devices []gpu.Device, saved persistentState) ([]Placement, error) {
	var list []gpuTarget
	for _, d := range devices {
		list = append(list, gpuTargets(d)...)
	}
	list = append(list, resolveCollisions(missingGPUs(devices, saved), list)...)
	var errs []error
	if !c.GPUs.All {
		list, errs = selectGPUs(c.GPUs.List, list)
	}
	if c.GPUs.All && len(list) == 0 {
		errs = append(errs, errors.New("gpus: all: no GPU found"))
	}
	slices.SortFunc(list, func(a, b gpuTarget) int {
		return cmp.Or(cmp.Compare(a.index, b.index), strings.Compare(a.name, b.name))
	})
	var placements []Placement
	for _, choice := range list {
		for i := range c.Replicas {
			placements = append(placements, Placement{fmt.Sprintf("%s-%d", choice.name, i), choice.device, choice.gpu})
		}
	}
	return placements, errors.Join(errs...)
}

// selectGPUs returns the targets with the given indices or UUIDs.
func selectGPUs(names []string, all []gpuTarget) (list []gpuTarget, errs []error) {
	for _, name := range names {
		found := slices.DeleteFunc(slices.Clone(all), func(choice gpuTarget) bool {
			return name != strconv.Itoa(choice.index) && name != choice.device && name != choice.gpu
		})
		if len(found) == 0 {
			errs = append(errs, fmt.Errorf("gpus: %s not found; available: %s", name, describeTargets(all)))
		}
		for _, choice := range found {
			if slices.Contains(list, choice) {
				errs = append(errs, fmt.Errorf("gpus: %s is listed twice", choice.device))
			} else {
				list = append(list, choice)
			}
		}
	}
	return list, errs
}

// missingGPUs returns the quarantined GPUs and MIG instances that had replicas and are not found now.
func missingGPUs(devices []gpu.Device, saved persistentState) []gpuTarget {
	var list []gpuTarget
	for _, p := range saved.Placements {
		at := slices.IndexFunc(saved.Quarantines, func(q quarantineRecord) bool { return q.GPU == p.GPU })
		there := slices.ContainsFunc(devices, func(d gpu.Device) bool { return d.UUID == p.GPU })
		if at < 0 || there {
			continue
		}
		name := p.Name[:max(0, strings.LastIndex(p.Name, "-"))]
		if missing := (gpuTarget{name, p.Device, p.GPU, saved.Quarantines[at].Index}); !slices.Contains(list, missing) {
			list = append(list, missing)
		}
	}
	return list
}

// resolveCollisions gives missing GPUs indices and names that no GPU found has: the driver renumbers GPUs at boot.
func resolveCollisions(gone, found []gpuTarget) []gpuTarget {
	taken, names := map[int]string{}, map[string]bool{}
	for _, choice := range found {
		taken[choice.index], names[choice.name] = choice.gpu, true
	}
	for _, choice := range gone {
		if choice.index >= 0 && taken[choice.index] == "" {
			taken[choice.index] = choice.gpu
		}
	}
	for i := range gone {
		choice := &gone[i]
		if taken[choice.index] != choice.gpu {
			for choice.index = 0; taken[choice.index] != "" && taken[choice.index] != choice.gpu; {
				choice.index++
			}
			taken[choice.index] = choice.gpu
		}
		if names[choice.name] {
			choice.name = strings.ToLower(choice.device)
		}
	}
	return gone
}

// gpuTargets returns a GPU, or its instances in MIG mode. A GPU without a UUID cannot be selected.
func gpuTargets(d gpu.Device) []gpuTarget {
	if d.UUID == "" {
		return nil
	}
	if !d.MIG {
		return []gpuTarget{{fmt.Sprintf("gpu%d", d.Index), d.UUID, d.UUID, d.Index}}
	}
	var list []gpuTarget
	for i, in := range d.Instances {
		list = append(list, gpuTarget{fmt.Sprintf("gpu%dm%d", d.Index, i), in.UUID, d.UUID, d.Index})
	}
	return list
}

func describeTargets(all []gpuTarget) string {
	var names []string
	for _, choice := range all {
		names = append(names, fmt.Sprintf("%d (%s)", choice.index, choice.device))
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// Devices returns the UUIDs of the GPUs and MIG instances that a configuration selects.
func Devices(c Config, devices []gpu.Device) ([]string, error) {
	c.Replicas = 1
	placements, err := gpuPlacements(c, devices, persistentState{})
	uuids := make([]string, len(placements))
	for i, p := range placements {
		uuids[i] = p.Device
	}
	return uuids, err
}
