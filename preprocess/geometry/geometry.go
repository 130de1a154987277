// Package geometry says where the pixels of an image go in a model's input, and back. It is pure Go, so that
// answers can be mapped to the image without OpenCV.
package geometry

// Fit is the map between an image and a model's input: a point (x, y) of the image, in pixels as a person
// sees it, lies at (x·ScaleX + OffsetX, y·ScaleY + OffsetY) in the input.
type Fit struct {
	Width, Height    int // the image's size as a person sees it (EXIF orientation applied)
	InputW, InputH   int // the model's input size
	ScaleX, ScaleY   float64
	OffsetX, OffsetY float64
}

// ToImage maps a point of the input to the image, clipped to it.
func (f Fit) ToImage(x, y float64) (px, py float64) {
	px = clamp((x-f.OffsetX)/f.ScaleX, float64(f.Width))
	py = clamp((y-f.OffsetY)/f.ScaleY, float64(f.Height))
	return px, py
}

func clamp(v, top float64) float64 { return max(0, min(v, top)) }
