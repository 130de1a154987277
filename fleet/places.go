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

func cpuPlaces(replicas int) []Place {
	places := make([]Place, replicas)
	for i := range places {
		places[i] = Place{Name: fmt.Sprintf("cpu-%d", i)}
	}
	return places
}

// chosen is a GPU or MIG instance that was chosen to work on.
type chosen struct {
	name   string // such as gpu0, or gpu0m1 for its second instance
	device string
	gpu    string
	index  int // NVML's
}

// gpuPlaces finds the places on the GPUs that the configuration names. A lost GPU may no longer say its UUID: what is
// kept of it stands in. All mistakes are returned at once.
func gpuPlaces(c Config, devices []gpu.Device, kept Kept) ([]Place, error) {
	var list []chosen
	for _, d := range devices {
		list = append(list, choices(d)...)
	}
	list = append(list, apart(missing(devices, kept), list)...)
	var mistakes []error
	if !c.GPUs.All {
		list, mistakes = pick(c.GPUs.List, list)
	}
	if c.GPUs.All && len(list) == 0 {
		mistakes = append(mistakes, errors.New("gpus: all: there is none"))
	}
	slices.SortFunc(list, func(a, b chosen) int { return cmp.Or(cmp.Compare(a.index, b.index), strings.Compare(a.name, b.name)) })
	var places []Place
	for _, choice := range list {
		for i := range c.Replicas {
			places = append(places, Place{fmt.Sprintf("%s-%d", choice.name, i), choice.device, choice.gpu})
		}
	}
	return places, errors.Join(mistakes...)
}

// pick takes what a list of indices and UUIDs names.
func pick(names []string, all []chosen) (list []chosen, mistakes []error) {
	for _, name := range names {
		found := slices.DeleteFunc(slices.Clone(all), func(choice chosen) bool {
			return name != strconv.Itoa(choice.index) && name != choice.device && name != choice.gpu
		})
		if len(found) == 0 {
			mistakes = append(mistakes, fmt.Errorf("gpus: %s is not there; there are %s", name, known(all)))
		}
		for _, choice := range found {
			if slices.Contains(list, choice) {
				mistakes = append(mistakes, fmt.Errorf("gpus: %s is named twice", choice.device))
			} else {
				list = append(list, choice)
			}
		}
	}
	return list, mistakes
}

// missing lists the quarantined GPUs and instances that had replicas and are not found now.
func missing(devices []gpu.Device, kept Kept) []chosen {
	var list []chosen
	for _, p := range kept.Places {
		at := slices.IndexFunc(kept.Quarantines, func(q Quarantine) bool { return q.GPU == p.GPU })
		there := slices.ContainsFunc(devices, func(d gpu.Device) bool { return d.UUID == p.GPU })
		name := p.Name[:max(0, strings.LastIndex(p.Name, "-"))]
		choice := chosen{name, p.Device, p.GPU, 0}
		if at >= 0 {
			choice.index = kept.Quarantines[at].Index
		}
		if at >= 0 && !there && !slices.Contains(list, choice) {
			list = append(list, choice)
		}
	}
	return list
}

// apart gives what is missing an index and a name that nothing found has. The driver counts anew when the machine starts,
// so that another GPU may have those of one that is gone.
func apart(gone, found []chosen) []chosen {
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

// choices are a GPU, or its instances where it is split. One that never said its UUID cannot be chosen.
func choices(d gpu.Device) []chosen {
	if d.UUID == "" {
		return nil
	}
	if !d.MIG {
		return []chosen{{fmt.Sprintf("gpu%d", d.Index), d.UUID, d.UUID, d.Index}}
	}
	var list []chosen
	for i, in := range d.Instances {
		list = append(list, chosen{fmt.Sprintf("gpu%dm%d", d.Index, i), in.UUID, d.UUID, d.Index})
	}
	return list
}

func known(all []chosen) string {
	var names []string
	for _, choice := range all {
		names = append(names, fmt.Sprintf("%d (%s)", choice.index, choice.device))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Devices lists the UUIDs that a configuration chooses among GPUs.
func Devices(c Config, devices []gpu.Device) ([]string, error) {
	c.Replicas = 1
	places, err := gpuPlaces(c, devices, Kept{})
	uuids := make([]string, len(places))
	for i, p := range places {
		uuids[i] = p.Device
	}
	return uuids, err
}
