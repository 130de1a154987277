package postprocess

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"slices"

	"fovea/internal/palette"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// maxMapClasses is how many classes a map has at most: those of a palette.
const maxMapClasses = 256

// MaxMapPixels bounds a map of classes. Of a larger image, it has the size divided by the smallest whole number that fits.
const MaxMapPixels = 1 << 24

// ClassArea is a class that occurs in an image.
type ClassArea struct {
	Class int    `json:"class"`
	Label string `json:"label"`
	// Area is the number of the class's pixels, and Share its part of all.
	Area  int     `json:"area"`
	Share float64 `json:"share"`
	// Mask has the pixels, with Params.Encoding rle.
	Mask *Mask `json:"mask,omitempty"`
}

// ClassMap holds the class of each pixel of an image.
type ClassMap struct {
	// Width and Height are those of the image, and MapWidth and MapHeight of the map, which are the same up to MaxMapPixels.
	Width, Height       int
	MapWidth, MapHeight int
	// Classes are those that occur, the largest area first.
	Classes []ClassArea
	// PNG is the map as an image with a palette, in which a pixel's number is that of its class; nil with Params.Encoding rle.
	PNG []byte
}

func (*ClassMap) prediction() {}

// MarshalJSON writes {"map":{"png":"…"},"classes":[…],"width":…,"height":…}; without map where the classes have masks.
func (c *ClassMap) MarshalJSON() ([]byte, error) {
	type encoded struct {
		Width  int    `json:"width"`
		Height int    `json:"height"`
		PNG    []byte `json:"png"`
	}
	var of *encoded
	if c.PNG != nil {
		of = &encoded{c.MapWidth, c.MapHeight, c.PNG}
	}
	return json.Marshal(struct {
		Map     *encoded    `json:"map,omitempty"`
		Classes []ClassArea `json:"classes"`
		Width   int         `json:"width"`
		Height  int         `json:"height"`
	}{of, c.Classes, c.Width, c.Height})
}

// Pixels returns the number of the class of each pixel of the map, line by line.
func (c *ClassMap) Pixels() ([]byte, error) {
	if c.PNG == nil {
		pixels := make([]byte, c.MapWidth*c.MapHeight)
		for _, class := range c.Classes {
			class.Mask.Each(func(x, top, bottom int) {
				for y := top; y < bottom; y++ {
					pixels[y*c.MapWidth+x] = byte(class.Class)
				}
			})
		}
		return pixels, nil
	}
	img, err := png.Decode(bytes.NewReader(c.PNG))
	if err != nil {
		return nil, err
	}
	p, ok := img.(*image.Paletted)
	if !ok || p.Stride != c.MapWidth {
		return nil, fmt.Errorf("the map is a %T", img)
	}
	return p.Pix, nil
}

// semantic decodes a map of classes over the input: scores of each class, [classes,h,w] or [h,w,classes], which are interpolated to the
// image's size before the highest is taken (post_process_semantic_segmentation in transformers' image processors), or the numbers of the
// classes [h,w], of which the nearest is taken. Scores of one class above the threshold, 0 for logits, are class 1, others class 0.
type semantic struct {
	def     repository.Definition
	output  source
	numbers bool // of classes
	last    bool // classes are the last dimension
}

func newSemantic(def repository.Definition, outputs []Tensor) (Decoder, error) {
	s := &semantic{def: def, numbers: def.Output.Decode == repository.DecodeClassMap}
	types, rank, want := floatTypes, 3, "[classes,h,w] or [h,w,classes]"
	if s.numbers {
		types, rank, want = repository.MaskTypes(), 2, "[h,w]"
	}
	var full []int64
	var err error
	if s.output, full, err = pick(outputs, "output.name", def.Output.Name, types...); err != nil {
		return nil, err
	}
	shape := repository.Squeeze(full, rank)
	if len(shape) != rank {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want %s", s.output.name, full, want)
	}
	if s.numbers {
		if len(def.Labels) > maxMapClasses {
			return nil, fmt.Errorf("labels: %s has %d labels; the limit of a map is %d", def.LabelsFile, len(def.Labels), maxMapClasses)
		}
		return s, nil
	}
	s.last = s.isLast(shape)
	classes := shape[0]
	if s.last {
		classes = shape[2]
	}
	if classes == 1 {
		classes = 2
	}
	if classes > maxMapClasses {
		return nil, fmt.Errorf("output.name: %q has %d classes; the limit of a map is %d", s.output.name, classes, maxMapClasses)
	}
	return s, checkClasses(&def, s.output.name, classes)
}

// isLast reports whether classes are the last dimension of scores: as the definition says, or the labels, or else the smaller of the two.
func (s *semantic) isLast(shape []int64) bool {
	if layout := s.def.Output.Dense.Layout; layout != "" {
		return layout == "nhwc"
	}
	labels := int64(len(s.def.Labels))
	first, last := labels > 0 && shape[0] == labels, labels > 0 && shape[2] == labels
	if first != last {
		return last
	}
	return shape[2] > 0 && (shape[0] < 0 || shape[2] < shape[0])
}

func (s *semantic) trialCheck() TrialCheck { return sameOnly(s.output) }

// Decode returns the class of each pixel.
func (s *semantic) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	encoding, err := p.withoutObjects(EncodingPNG, EncodingRLE)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	mem := scratches.Get().(*scratch)
	defer scratches.Put(mem)
	m, err := s.scores(mem, outputs)
	if err != nil {
		return nil, err
	}
	shrink := 1
	for (transform.Width/shrink)*(transform.Height/shrink) > MaxMapPixels {
		shrink++
	}
	w, h := max(1, transform.Width/shrink), max(1, transform.Height/shrink)
	perX, perY := float64(transform.Width)/float64(w), float64(transform.Height)/float64(h)
	m.x = axisOf(transform.ScaleX*perX, transform.OffsetX, m.columns, transform.InputW)
	m.y = axisOf(transform.ScaleY*perY, transform.OffsetY, m.lines, transform.InputH)
	mem.pixels = slices.Grow(mem.pixels[:0], w*h)[:w*h]
	if s.numbers {
		err = m.nearest(mem.pixels, w, h)
	} else {
		m.highest(mem.pixels, w, h)
	}
	if err != nil {
		return nil, err
	}
	return s.prediction(mem.pixels, w, h, transform, encoding)
}

// scores reads the scores, or the numbers of classes.
func (s *semantic) scores(mem *scratch, outputs []Tensor) (*classScores, error) {
	rank := 3
	if s.numbers {
		rank = 2
	}
	values, shape, err := s.output.gridOf(&mem.floats, outputs, rank)
	if err != nil {
		return nil, err
	}
	m := &classScores{values: values, output: s.output.name, classes: 1, labels: len(s.def.Labels)}
	switch {
	case s.numbers:
		m.lines, m.columns = int(shape[0]), int(shape[1])
		m.perColumn, m.perLine = 1, m.columns
		return m, nil
	case s.last:
		m.lines, m.columns, m.classes = int(shape[0]), int(shape[1]), int(shape[2])
		m.perClass, m.perColumn, m.perLine = 1, m.classes, m.classes*m.columns
	default:
		m.classes, m.lines, m.columns = int(shape[0]), int(shape[1]), int(shape[2])
		m.perClass, m.perColumn, m.perLine = m.lines*m.columns, 1, m.columns
	}
	if m.classes == 1 { // the background has the score of the threshold
		n := len(values)
		mem.more = slices.Grow(mem.more[:0], 2*n)[:2*n]
		for i := range n {
			mem.more[i] = float32(s.def.Output.Text.MapThreshold)
		}
		copy(mem.more[n:], values)
		m.values, m.classes, m.perClass, m.perColumn, m.perLine = mem.more, 2, n, 1, m.columns
	}
	if m.classes > maxMapClasses {
		return nil, unusable(fmt.Errorf("output %q has %d classes; the limit is %d", m.output, m.classes, maxMapClasses))
	}
	if err := checkClasses(&s.def, m.output, int64(m.classes)); err != nil {
		return nil, unusable(err)
	}
	return m, nil
}

// prediction counts and encodes the classes of pixels.
func (s *semantic) prediction(pixels []byte, w, h int, t geometry.Transform, encoding string) (*ClassMap, error) {
	var areas [maxMapClasses]int
	for _, class := range pixels {
		areas[class]++
	}
	out := &ClassMap{Width: t.Width, Height: t.Height, MapWidth: w, MapHeight: h, Classes: []ClassArea{}}
	first := s.def.Output.ClassFirst
	for class, area := range areas {
		if area > 0 {
			out.Classes = append(out.Classes, ClassArea{Class: class, Label: label(s.def.Labels, max(class-first, 0)), Area: area, Share: float64(area) / float64(len(pixels))})
		}
	}
	slices.SortStableFunc(out.Classes, func(a, b ClassArea) int { return b.Area - a.Area })
	if encoding == EncodingRLE {
		return out, out.addMasks(pixels)
	}
	out.PNG = encodePNG(&image.Paletted{Pix: pixels, Stride: w, Rect: image.Rect(0, 0, w, h), Palette: palette.Of(max(2, s.classes(&areas)))})
	return out, nil
}

// classes is the number of colors that a map needs.
func (s *semantic) classes(areas *[maxMapClasses]int) int {
	n := len(s.def.Labels)
	for class, area := range areas {
		if area > 0 {
			n = max(n, class+1)
		}
	}
	return min(n, maxMapClasses)
}

// addMasks adds the mask of each class.
func (c *ClassMap) addMasks(pixels []byte) error {
	w, h := c.MapWidth, c.MapHeight
	var turns [maxMapClasses][]uint32
	last, runs := -1, 0
	for x := range w {
		for y := range h {
			class := int(pixels[y*w+x])
			if class == last {
				continue
			}
			at := uint32(x*h + y)
			if last >= 0 {
				turns[last] = append(turns[last], at)
			}
			turns[class] = append(turns[class], at)
			if last, runs = class, runs+2; runs > maxRuns {
				return unusable(errRagged)
			}
		}
	}
	for i := range c.Classes {
		class := c.Classes[i].Class
		if class == last { // up to the end
			turns[class] = append(turns[class], uint32(w*h))
		}
		c.Classes[i].Mask = &Mask{Width: w, Height: h, Runs: runsOf(turns[class], w*h)}
	}
	return nil
}
