package fleet

import (
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
}

// gpuPlaces finds the places on the GPUs that the configuration names. All mistakes are returned at once.
func gpuPlaces(c Config, devices []gpu.Device, kept []Quarantine) ([]Place, error) {
	var list []chosen
	var mistakes []error
	if c.GPUs.All {
		for _, d := range devices {
			list = append(list, choices(d)...)
		}
		if len(list) == 0 {
			mistakes = append(mistakes, errors.New("gpus: all: there is none"))
		}
	}
	for _, name := range c.GPUs.List {
		found := choose(name, devices, kept)
		if len(found) == 0 {
			mistakes = append(mistakes, fmt.Errorf("gpus: %s is not there; there are %s", name, known(devices)))
		}
		list = append(list, found...)
	}
	var places []Place
	seen := map[string]bool{}
	for _, choice := range list {
		if seen[choice.device] {
			mistakes = append(mistakes, fmt.Errorf("gpus: %s is named twice, by index and by UUID", choice.device))
		}
		seen[choice.device] = true
		for i := range c.Replicas {
			places = append(places, Place{fmt.Sprintf("%s-%d", choice.name, i), choice.device, choice.gpu})
		}
	}
	return places, errors.Join(mistakes...)
}

// choices are a GPU, or its instances where it is split. One that never said its UUID cannot be chosen.
func choices(d gpu.Device) []chosen {
	if d.UUID == "" {
		return nil
	}
	if !d.MIG {
		return []chosen{{fmt.Sprintf("gpu%d", d.Index), d.UUID, d.UUID}}
	}
	var list []chosen
	for i, in := range d.Instances {
		list = append(list, chosen{fmt.Sprintf("gpu%dm%d", d.Index, i), in.UUID, d.UUID})
	}
	return list
}

// choose finds what an index or a UUID names. A GPU that was quarantined and has gone altogether keeps its place.
func choose(name string, devices []gpu.Device, kept []Quarantine) []chosen {
	index, err := strconv.Atoi(name)
	for _, d := range devices {
		if err == nil && d.Index == index || d.UUID == name {
			return choices(d)
		}
		for _, choice := range choices(d) {
			if choice.device == name {
				return []chosen{choice}
			}
		}
	}
	if slices.ContainsFunc(kept, func(q Quarantine) bool { return q.GPU == name }) {
		return []chosen{{"gpu-" + strings.ToLower(name[max(0, len(name)-8):]), name, name}}
	}
	return nil
}

func known(devices []gpu.Device) string {
	var names []string
	for _, d := range devices {
		for _, choice := range choices(d) {
			names = append(names, fmt.Sprintf("%d (%s)", d.Index, choice.device))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Devices lists the UUIDs that a configuration chooses among GPUs.
func Devices(c Config, devices []gpu.Device) ([]string, error) {
	c.Replicas = 1
	places, err := gpuPlaces(c, devices, nil)
	uuids := make([]string, len(places))
	for i, p := range places {
		uuids[i] = p.Device
	}
	return uuids, err
}
