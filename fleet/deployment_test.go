package fleet

import (
	"slices"
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
