package postprocess

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Rendered holds the image that a model makes of an image.
type Rendered struct {
	Image *image.NRGBA
	// Width and Height are those of the image that was sent.
	Width, Height int
	// Encoding is EncodingPNG (also empty) or EncodingJPEG.
	Encoding string
}

func (*Rendered) prediction() {}

// PNG returns the image as PNG.
func (r *Rendered) PNG() []byte { return encodePNG(r.Image) }

const jpegQuality = 95

// MarshalJSON writes {"image":{"width":…,"height":…,"png":"…"},"width":…,"height":…}, with jpeg instead of png if that is the encoding; in
// base64.
func (r *Rendered) MarshalJSON() ([]byte, error) {
	type encoded struct {
		Width  int    `json:"width"`
		Height int    `json:"height"`
		PNG    []byte `json:"png,omitempty"`
		JPEG   []byte `json:"jpeg,omitempty"`
	}
	of := encoded{Width: r.Image.Rect.Dx(), Height: r.Image.Rect.Dy()}
	if r.Encoding == EncodingJPEG {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, r.Image, &jpeg.Options{Quality: jpegQuality}); err != nil {
			return nil, err
		}
		of.JPEG = b.Bytes()
	} else {
		of.PNG = r.PNG()
	}
	return json.Marshal(struct {
		Image  encoded `json:"image"`
		Width  int     `json:"width"`
		Height int     `json:"height"`
	}{of, r.Width, r.Height})
}

// imageOutput decodes an image: [channels,h,w] or [h,w,channels], with one channel, three or four, in the order of the input's colors.
type imageOutput struct {
	def    repository.Definition
	output source
}

func newImage(def repository.Definition, outputs []Tensor) (Decoder, error) {
	d := &imageOutput{def: def}
	var full []int64
	var err error
	if d.output, full, err = pick(outputs, "output.name", def.Output.Name, numberTypes...); err != nil {
		return nil, err
	}
	shape := repository.Squeeze(full, 3)
	if len(shape) != 3 || d.channels(shape) == 0 {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want [c,h,w] or [h,w,c] with 1, 3 or 4 channels", d.output.name, full)
	}
	return d, nil
}

// channels returns the number of channels, which is -1 if it is open and the layout is given; 0 if there is none.
func (d *imageOutput) channels(shape []int64) int64 {
	c := shape[0]
	if d.last(shape) {
		c = shape[2]
	}
	if c == 1 || c == 3 || c == 4 || c < 0 && d.def.Output.Dense.Layout != "" {
		return c
	}
	return 0
}

// last reports whether channels are the last dimension.
func (d *imageOutput) last(shape []int64) bool {
	isChannels := func(n int64) bool { return n == 1 || n == 3 || n == 4 }
	if layout := d.def.Output.Dense.Layout; layout != "" {
		return layout == "nhwc"
	}
	return isChannels(shape[2]) && !isChannels(shape[0])
}

func (d *imageOutput) trialCheck() TrialCheck { return sameOnly(d.output) }

// Decode returns the image, without what is padding of the input.
func (d *imageOutput) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	encoding, err := p.withoutObjects(EncodingPNG, EncodingJPEG)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	values, shape, err := d.output.gridOf(&s.floats, outputs, 3)
	if err != nil {
		return nil, err
	}
	if d.channels(shape) < 1 {
		return nil, unusable(fmt.Errorf("output %q has the shape %v", d.output.name, outputs[d.output.index].Shape))
	}
	c, h, w := int(shape[0]), int(shape[1]), int(shape[2])
	perChannel, perPixel := h*w, 1
	if d.last(shape) {
		h, w, c = int(shape[0]), int(shape[1]), int(shape[2])
		perChannel, perPixel = 1, c
	}
	left, right := visible(transform.Width, transform.ScaleX, transform.OffsetX, w, transform.InputW)
	top, bottom := visible(transform.Height, transform.ScaleY, transform.OffsetY, h, transform.InputH)
	img := image.NewNRGBA(image.Rect(0, 0, right-left, bottom-top))
	order := d.order(c)
	low, high := d.def.Output.Dense.Range[0], d.def.Output.Dense.Range[1]
	scale := 255 / (high - low)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			to := img.Pix[img.PixOffset(x-left, y-top):][:4]
			to[3] = 255
			for k, from := range order {
				v := (float64(values[(y*w+x)*perPixel+from*perChannel]) - low) * scale
				to[k] = uint8(math.Round(max(0, min(v, 255))))
			}
		}
	}
	return &Rendered{img, transform.Width, transform.Height, encoding}, nil
}

// order lists the channels of red, green, blue and, perhaps, alpha.
func (d *imageOutput) order(channels int) []int {
	blueFirst := d.def.Input.Color == repository.ColorBGR || d.def.Input.Color == repository.ColorBGRA
	switch {
	case channels == 1:
		return []int{0, 0, 0}
	case channels == 3 && blueFirst:
		return []int{2, 1, 0}
	case channels == 3:
		return []int{0, 1, 2}
	case blueFirst:
		return []int{2, 1, 0, 3}
	}
	return []int{0, 1, 2, 3}
}

// visible returns the columns of n over the input that lie over the image.
func visible(side int, scale, offset float64, n, input int) (from, to int) {
	per := float64(n) / float64(input)
	from = clampTo(int(math.Round(offset*per)), n)
	return from, max(from+1, min(int(math.Round((offset+float64(side)*scale)*per)), n))
}
