package models_test

import (
	"fmt"
	"io/fs"

	"fovea/models"
)

// The definitions that ship with Fovea are embedded, without weights.
func Example() {
	folders, err := fs.ReadDir(models.Shipped, ".")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, folder := range folders {
		fmt.Println(folder.Name())
	}
	// Output:
	// deimv2-atto
	// efficientnet-lite0
	// mobilenetv2-12-int8
	// squeezenet-fp16
	// squeezenet-fp32
	// yolox-nano
	// yolox-nano-batch
}
