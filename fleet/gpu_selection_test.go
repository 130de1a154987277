package fleet

import (
	"reflect"
	"testing"
	"time"

	"fovea/gpu"
)

func TestGPUPlacements(t *testing.T) {
	devices := []gpu.Device{
		{Index: 0, UUID: "GPU-a"},
		{Index: 1, UUID: "GPU-b", MIG: true, Instances: []gpu.Instance{{UUID: "MIG-1"}, {UUID: "MIG-2"}}},
		{Index: 2, Err: gpu.ErrLost},
	}
	moved := []gpu.Device{{Index: 0, UUID: "GPU-a"}, {Index: 1, UUID: "GPU-d"}, {Index: 2, UUID: "GPU-e"}} // The last two were 2 and 3.
	lost := persistentState{Placements: []Placement{{"gpu2-0", "GPU-c", "GPU-c"}}, Quarantines: []quarantineRecord{{GPU: "GPU-c", Index: 2, Quarantined: true}}}
	gone := persistentState{Placements: []Placement{{"gpu1-0", "GPU-c", "GPU-c"}}, Quarantines: []quarantineRecord{{GPU: "GPU-c", Index: 1, Quarantined: true}}}
	known := persistentState{Placements: []Placement{{"gpu-c-0", "GPU-c", "GPU-c"}}, Quarantines: []quarantineRecord{{GPU: "GPU-c", Index: -1, Quarantined: true}}}
	split := persistentState{Placements: []Placement{{"gpu1m0-0", "MIG-3", "GPU-c"}, {"gpu1m1-0", "MIG-4", "GPU-c"}}, Quarantines: gone.Quarantines}
	three := []Placement{{"gpu0-0", "GPU-a", "GPU-a"}, {"gpu1-0", "GPU-d", "GPU-d"}, {"gpu2-0", "GPU-e", "GPU-e"}}
	four := append(three[:3:3], Placement{"gpu-c-0", "GPU-c", "GPU-c"})
	for name, c := range map[string]struct {
		gpus    GPUSet
		devices []gpu.Device
		saved   persistentState
		want    []Placement
		fail    bool
	}{
		"all with a UUID":                   {GPUSet{All: true}, devices, persistentState{}, []Placement{{"gpu0-0", "GPU-a", "GPU-a"}, {"gpu1m0-0", "MIG-1", "GPU-b"}, {"gpu1m1-0", "MIG-2", "GPU-b"}}, false},
		"by index and by UUID":              {GPUSet{List: []string{"0", "MIG-2"}}, devices, persistentState{}, []Placement{{"gpu0-0", "GPU-a", "GPU-a"}, {"gpu1m1-0", "MIG-2", "GPU-b"}}, false},
		"lost, from saved state":            {GPUSet{List: []string{"2"}}, devices, lost, []Placement{{"gpu2-0", "GPU-c", "GPU-c"}}, false},
		"unknown":                           {GPUSet{List: []string{"7"}}, devices, persistentState{}, nil, true},
		"listed twice":                      {GPUSet{List: []string{"0", "GPU-a"}}, devices, persistentState{}, nil, true},
		"one is gone, others renumbered":    {GPUSet{All: true}, moved, gone, four, false},
		"the list includes the missing one": {GPUSet{List: []string{"0", "1", "2", "3"}}, moved, gone, four, false},
		"its index is another GPU's now":    {GPUSet{List: []string{"0", "1", "2"}}, moved, gone, three, false},
		"stable at the next start":          {GPUSet{List: []string{"3", "2", "1", "0"}}, moved, known, four, false},
		"its MIG instances are gone": {GPUSet{List: []string{"3", "2", "1", "0"}}, moved, split,
			append(three[:3:3], Placement{"gpu1m0-0", "MIG-3", "GPU-c"}, Placement{"gpu1m1-0", "MIG-4", "GPU-c"}), false},
		"index out of range": {GPUSet{List: []string{"0", "4"}}, moved, gone, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			cfg.GPUs = c.gpus
			got, err := gpuPlacements(cfg, c.devices, c.saved)
			if (err != nil) != c.fail || !c.fail && !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestReassignedIndex(t *testing.T) {
	w := newWorld(t, 1, 2, 1)
	k := w.m.persistentState()
	k.Quarantines = []quarantineRecord{{GPU: "GPU-gone", Index: 1, Quarantined: true, Since: time.Unix(1, 0)}}
	w.restart(k)
	w.readGPUs()
	w.wait(2 * time.Second)
	if got := w.m.gpuNamed("1"); got != "GPU-1" || w.m.gpus["GPU-gone"].Index != -1 {
		t.Errorf("1 is %s; the missing GPU has index %d", got, w.m.gpus["GPU-gone"].Index)
	}
}
