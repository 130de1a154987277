package repository

import (
	"slices"

	"fovea/internal/config"
)

// WithDefaults returns the definition with every value that was left out (the zero value) set to its default.
// What the ONNX file says (width, height, color, dtype, layout, names) and what the device decides (max_size, count)
// stays zero. Load does this itself; it is for definitions made in Go.
func (d Definition) WithDefaults() Definition {
	d.fill(func(string) bool { return false })
	return d
}

// fill sets the defaults, the only place that holds them. given tells which keys the file has, so that a zero
// that was written on purpose stays and is judged by Validate.
func (d *Definition) fill(given func(key string) bool) {
	fillValue(&d.Input.Resize, Stretch, given("input.resize"))
	fillValue(&d.Input.Interpolation, "linear", given("input.interpolation"))
	fillValue(&d.Input.Scale, 1, given("input.scale"))
	fillList(&d.Input.Mean, []float64{0}, given("input.mean"))
	fillList(&d.Input.Std, []float64{1}, given("input.std"))
	if d.Input.Resize == Letterbox {
		fillValue(&d.Input.Place, "center", given("input.place"))
		fillList(&d.Input.Fill, []float64{0}, given("input.fill"))
	}
	fillValue(&d.Batching.Queue, 256, given("batching.queue"))
	fillValue(&d.Warmup, 1, given("warmup"))
	fillValue(&d.Source.Version, 1, given("source.version"))
	d.Instances = slices.Clone(d.Instances)
	for i := range d.Instances {
		fillValue(&d.Instances[i].Device, "auto", given(config.Index("instances", i)+".device"))
	}
	d.Output.fill(d.Task, given)
}

func (o *Output) fill(task Task, given func(key string) bool) {
	switch task {
	case Classification:
		fillValue(&o.TopK, 5, given("output.top_k"))
	case Detection:
		fillValue(&o.Score, 0.3, given("output.score_threshold"))
		fillValue(&o.MaxBoxes, 100, given("output.max_boxes"))
	}
	switch o.Decode {
	case DecodeYOLOX:
		fillList(&o.Strides, []int{8, 16, 32}, given("output.strides"))
		fillValue(&o.IoU, 0.45, given("output.iou_threshold"))
	case DecodeBoxes:
		fillValue(&o.BoxFormat, BoxXYXY, given("output.box_format"))
	}
}

func fillValue[T comparable](v *T, to T, given bool) {
	var zero T
	if *v == zero && !given {
		*v = to
	}
}

func fillList[T any](v *[]T, to []T, given bool) {
	if len(*v) == 0 && !given {
		*v = to
	}
}
