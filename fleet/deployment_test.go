package fleet

import (
	"slices"
	"strings"
	"testing"

	"fovea/docker"
)

func TestClientShareIsLeftToTheGateway(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"default":                   {nil, []string{"FOVEA_HTTP_CLIENT_SHARE=1"}},
		"from the configuration":    {map[string]string{"FOVEA_HTTP_CLIENT_SHARE": "0.5"}, []string{"FOVEA_HTTP_CLIENT_SHARE=0.5"}},
		"omitted by an empty value": {map[string]string{"FOVEA_HTTP_CLIENT_SHARE": ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			c.GPUs, c.Env = GPUSet{}, test.env
			d, err := NewDeployment(c, docker.Image{ID: "sha256:x"})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.Spec.Env, test.want) {
				t.Errorf("%v, want %v", d.Spec.Env, test.want)
			}
		})
	}
}

func TestReplicaWithAGPUDoesNotFallBackToTheCPU(t *testing.T) {
	for name, c := range map[string]struct {
		gpus GPUSet
		env  map[string]string
		want []string
	}{
		"CPU":                    {GPUSet{}, nil, nil},
		"GPU":                    {GPUSet{All: true}, nil, []string{"FOVEA_INFERENCE_DEVICE=cuda"}},
		"from the configuration": {GPUSet{All: true}, map[string]string{"FOVEA_INFERENCE_DEVICE": "auto"}, []string{"FOVEA_INFERENCE_DEVICE=auto"}},
	} {
		cfg := Defaults()
		cfg.GPUs, cfg.Env = c.gpus, c.env
		d, err := NewDeployment(cfg, docker.Image{ID: "sha256:x"})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(d.Spec.Env, func(v string) bool { return !strings.HasPrefix(v, "FOVEA_INFERENCE_DEVICE=") })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestReplicasHaveGRPCIfTheGatewayHas(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8001"} {
		c := Defaults()
		c.Gateway.GRPC.Address = address
		d, err := NewDeployment(c, docker.Image{ID: "sha256:x"})
		if err != nil {
			t.Fatal(err)
		}
		if set := slices.Contains(d.Spec.Env, "FOVEA_GRPC_ADDRESS=0.0.0.0:8001"); set != (address != "") || d.Spec.GRPC != set {
			t.Errorf("%q: %v, port %v", address, d.Spec.Env, d.Spec.GRPC)
		}
	}
}
