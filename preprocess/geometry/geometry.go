// Package geometry says where the pixels of a picture go in a model's input, and back. It is pure Go, so that
// answers can be mapped to the picture without OpenCV.
package geometry

// Fit is the map between a picture and a model's input: a point (x, y) of the picture, in pixels as a person
// sees it, lies at (x·ScaleX + OffsetX, y·ScaleY + OffsetY) in the input.
type Fit struct {
	Width, Height    int // the picture's size as a person sees it (EXIF orientation applied)
	InputW, InputH   int // the model's input size
	ScaleX, ScaleY   float64
	OffsetX, OffsetY float64
}

// ToPicture maps a point of the input to the picture, clipped to it.
func (f Fit) ToPicture(x, y float64) (px, py float64) {
	px = clamp((x-f.OffsetX)/f.ScaleX, float64(f.Width))
	py = clamp((y-f.OffsetY)/f.ScaleY, float64(f.Height))
	return px, py
}

func clamp(v, top float64) float64 { return max(0, min(v, top)) }
