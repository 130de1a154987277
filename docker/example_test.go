package docker_test

import (
	"fmt"

	"fovea/docker"
)

// A container's specification starts from hardened defaults. Validate reports every error.
func ExampleSpec_Validate() {
	spec := docker.Defaults()
	spec.Name = "fovea-cpu-0"
	spec.Image = "fovea"
	spec.Memory = 2 << 30
	spec.CPUs = 2
	spec.UID = 0
	spec.Labels = map[string]string{docker.LabelOwner: "fovea", docker.LabelReplica: "cpu-0"}
	spec.Env = []string{"LD_PRELOAD=/tmp/evil.so"}
	fmt.Println(spec.Validate())
	// Output:
	// uid: unsafe: 0 is root; use another user, such as 65532
	// env.LD_PRELOAD: unsafe: LD_PRELOAD would change what programs load
}
