package gpu

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"fovea/gpu/simnvml"
)

func plain(uuids ...string) []Device {
	var devices []Device
	for i, uuid := range uuids {
		devices = append(devices, Device{Index: i, UUID: uuid, Name: "L4"})
	}
	return devices
}

func withMIG(d Device, uuids ...string) Device {
	d.MIG = true
	for i, uuid := range uuids {
		d.Instances = append(d.Instances, Instance{UUID: uuid, GPUInstance: ptr(i + 1), ComputeInstance: ptr(0)})
	}
	return d
}

func TestVisibleDevices(t *testing.T) {
	three := plain("GPU-aa11", "GPU-aa22", "GPU-bb33")
	mixed := plain("GPU-aa11", "GPU-bb33")
	mixed[1].Name = "H100"
	split := plain("GPU-aa11", "GPU-bb33")
	split[1] = withMIG(split[1], "MIG-x", "MIG-y")
	const uncertain = "error: uncertain"
	for name, c := range map[string]struct {
		devices []Device
		env     map[string]string
		want    string // UUIDs in CUDA's order, then after "!" what is missing
	}{
		"nothing set":                 {three, nil, "GPU-aa11 GPU-aa22 GPU-bb33"},
		"no GPU":                      {nil, nil, ""},
		"set but empty hides all":     {three, map[string]string{"CUDA_VISIBLE_DEVICES": ""}, ""},
		"-1 hides all":                {three, map[string]string{"CUDA_VISIBLE_DEVICES": "-1"}, ""},
		"indices, in the order named": {three, map[string]string{"CUDA_VISIBLE_DEVICES": "2,1"}, "GPU-bb33 GPU-aa22"},
		"-1 hides what follows":       {three, map[string]string{"CUDA_VISIBLE_DEVICES": "0,2,-1,1"}, "GPU-aa11 GPU-bb33"},
		"an index that is not there hides the rest": {three, map[string]string{"CUDA_VISIBLE_DEVICES": "1,7,0"}, "GPU-aa22 ! 7"},
		"blanks around indices":                     {three, map[string]string{"CUDA_VISIBLE_DEVICES": " 1 , 0 "}, "GPU-aa22 GPU-aa11"},
		"a UUID":                                    {three, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-bb33"}, "GPU-bb33"},
		"the beginning of a UUID":                   {three, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-b"}, "GPU-bb33"},
		"a beginning that two share":                {three, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-aa"}, " ! GPU-aa"},
		"a UUID of another machine":                 {three, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-cc44,0"}, " ! GPU-cc44"},
		"UUIDs and indices":                         {three, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-bb33,0"}, "GPU-bb33 GPU-aa11"},
		"the same device twice shows none":          {three, map[string]string{"CUDA_VISIBLE_DEVICES": "0,GPU-aa11"}, " ! GPU-aa11"},
		"a word":                                    {three, map[string]string{"CUDA_VISIBLE_DEVICES": "all"}, " ! all"},

		"GPUs of different kinds":                       {mixed, nil, uncertain},
		"different kinds in the bus's order":            {mixed, map[string]string{"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "GPU-aa11 GPU-bb33"},
		"different kinds, fastest first":                {mixed, map[string]string{"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, uncertain},
		"different kinds, by index":                     {mixed, map[string]string{"CUDA_VISIBLE_DEVICES": "0"}, uncertain},
		"different kinds, by UUID":                      {mixed, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-bb33,GPU-aa11"}, "GPU-bb33 GPU-aa11"},
		"different kinds, by index in the bus's order":  {mixed, map[string]string{"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "GPU-bb33"},
		"MIG: the first instance alone":                 {split, nil, "MIG-x"},
		"MIG: an instance by its UUID":                  {split, map[string]string{"CUDA_VISIBLE_DEVICES": "MIG-y"}, "MIG-y"},
		"MIG: an instance by the old name":              {split, map[string]string{"CUDA_VISIBLE_DEVICES": "MIG-GPU-bb33/2/0"}, "MIG-y"},
		"MIG: no instance":                              {split, map[string]string{"CUDA_VISIBLE_DEVICES": "MIG-z"}, " ! MIG-z"},
		"MIG: the split GPU itself is no CUDA device":   {split, map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-bb33"}, " ! GPU-bb33"},
		"container: void, devices came by CDI":          {three, map[string]string{"NVIDIA_VISIBLE_DEVICES": "void"}, "GPU-aa11 GPU-aa22 GPU-bb33"},
		"container: all":                                {three, map[string]string{"NVIDIA_VISIBLE_DEVICES": "all"}, "GPU-aa11 GPU-aa22 GPU-bb33"},
		"container: none":                               {three, map[string]string{"NVIDIA_VISIBLE_DEVICES": "none"}, ""},
		"container: the host's index":                   {plain("GPU-bb33"), map[string]string{"NVIDIA_VISIBLE_DEVICES": "2"}, "GPU-bb33"},
		"container: a UUID":                             {plain("GPU-bb33"), map[string]string{"NVIDIA_VISIBLE_DEVICES": "GPU-bb33"}, "GPU-bb33"},
		"container: a GPU that was taken away":          {plain(), map[string]string{"NVIDIA_VISIBLE_DEVICES": "GPU-bb33"}, " ! GPU-bb33"},
		"container: MIG instances":                      {split, map[string]string{"NVIDIA_VISIBLE_DEVICES": "MIG-x,MIG-w"}, "MIG-x ! MIG-w"},
		"container: CUDA counts what the container has": {plain("GPU-bb33"), map[string]string{"NVIDIA_VISIBLE_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "0"}, "GPU-bb33"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ResolveVisibleDevices(c.devices, func(key string) (string, bool) { value, ok := c.env[key]; return value, ok })
			var uuids []string
			for _, d := range v.Devices {
				uuids = append(uuids, d.UUID)
				if c.devices[d.Index].UUID != d.UUID && !c.devices[d.Index].MIG {
					t.Errorf("%s is said to be GPU %d", d.UUID, d.Index)
				}
			}
			got := strings.Join(uuids, " ")
			if len(v.Missing) > 0 {
				got += " ! " + strings.Join(v.Missing, " ")
			}
			if err != nil {
				got = uncertain
				if !strings.Contains(err.Error(), "CUDA_DEVICE_ORDER=PCI_BUS_ID") {
					t.Errorf("error %q does not say what to do", err)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestVisibleUUID(t *testing.T) {
	v := VisibleDevices{Devices: []VisibleDevice{{"GPU-a", 0}, {"GPU-b", 1}}, Missing: []string{"GPU-c"}}
	if uuid, err := v.UUID(1); err != nil || uuid != "GPU-b" {
		t.Errorf("cuda:1 is %q, %v", uuid, err)
	}
	_, err := v.UUID(2)
	want := "no such GPU: cuda:2; CUDA shows 2 device(s) to this process; not found: GPU-c"
	if !errors.Is(err, ErrUnknownDevice) || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if _, err := v.UUID(-1); err == nil {
		t.Error("cuda:-1 is a device")
	}
}

func TestVisibleToThisProcess(t *testing.T) {
	n := open(t, simnvml.New(t, simnvml.Machine(2)))
	t.Setenv("CUDA_VISIBLE_DEVICES", "1")
	v, err := n.VisibleDevices(context.Background())
	if want := (VisibleDevices{Devices: []VisibleDevice{{simnvml.UUID(1), 1}}}); err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("%+v, %v; want %+v", v, err, want)
	}
}

func FuzzResolveVisibleDevices(f *testing.F) {
	for _, s := range []string{"", "0", "0,1", "GPU-aa", "MIG-x", "-1,0", ",", "MIG-GPU-bb33/1/0", "99999999999999999999"} {
		f.Add(s, s)
	}
	devices := plain("GPU-aa11", "GPU-bb33")
	devices[1] = withMIG(devices[1], "MIG-x")
	f.Fuzz(func(t *testing.T, cuda, nvidia string) {
		v, err := ResolveVisibleDevices(devices, func(key string) (string, bool) {
			return map[string]string{"CUDA_VISIBLE_DEVICES": cuda, "NVIDIA_VISIBLE_DEVICES": nvidia}[key], key != "CUDA_DEVICE_ORDER"
		})
		if err != nil && len(v.Devices) > 0 {
			t.Errorf("devices %v and error %v", v.Devices, err)
		}
		seen := map[VisibleDevice]bool{}
		for _, d := range v.Devices {
			if seen[d] {
				t.Errorf("%v twice", d)
			}
			seen[d] = true
		}
	})
}
