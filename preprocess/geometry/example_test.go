package geometry_test

import (
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Resample places a 1280×720 image in a 640×640 input. The transform maps a point of the input, such as a box's corner,
// back to the image.
func ExampleResample() {
	input := repository.Input{Resize: repository.Letterbox, Width: 640, Height: 640}
	resampling := geometry.Resample(&input, geometry.Image{Width: 1280, Height: 720, Shrink: 1})
	fmt.Println("resized to", resampling.Size, "at", resampling.Target)
	fmt.Println(resampling.Transform.ToImage(320, 320))
	// Output:
	// resized to (640,360) at (0,140)-(640,500)
	// 640 360
}
