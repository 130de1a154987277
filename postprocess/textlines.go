package postprocess

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// TextLine is a line of text.
type TextLine struct {
	// Text is empty where it was not read.
	Text  string  `json:"text,omitempty"`
	Score float64 `json:"score"`
	// Corners are in pixels of the image, clockwise on the screen from the upper left one of upright text.
	Corners [4][2]float64 `json:"corners"`
}

// TextLines holds the lines of text of an image in reading order: from top to bottom, and those of about one height from left to right.
type TextLines struct {
	Lines []TextLine `json:"lines"`
	Frame
}

func (*TextLines) prediction() {}

// Len implements Objects.
func (t *TextLines) Len() int { return len(t.Lines) }

// Box implements Objects. The label is the text or, where it was not read, "text".
func (t *TextLines) Box(i int) Box {
	l := &t.Lines[i]
	b := Box{Label: cmp.Or(l.Text, "text"), Score: l.Score, X1: l.Corners[0][0], Y1: l.Corners[0][1], X2: l.Corners[0][0], Y2: l.Corners[0][1]}
	for _, c := range l.Corners[1:] {
		b.X1, b.X2 = min(b.X1, c[0]), max(b.X2, c[0])
		b.Y1, b.Y2 = min(b.Y1, c[1]), max(b.Y2, c[1])
	}
	return b
}

// Quadrilaterals is a prediction of objects with four corners: *TextLines or *Oriented.
type Quadrilaterals interface {
	Objects
	// Quadrilateral returns an object's corners in pixels of the image.
	Quadrilateral(i int) [4][2]float64
}

// Quadrilateral implements Quadrilaterals.
func (t *TextLines) Quadrilateral(i int) [4][2]float64 { return t.Lines[i].Corners }

// Quadrilateral implements Quadrilaterals.
func (o *Oriented) Quadrilateral(i int) [4][2]float64 { return o.Boxes[i].Corners }

// textMap decodes the probability that each point of a map over the input belongs to text, [h,w] or the first of [maps,h,w], into
// rectangles around lines, as DBPostProcess of PaddleOCR's ppocr/postprocess/db_postprocess.py and RapidOCR's TextDetector do.
type textMap struct {
	def    repository.Definition
	output source
}

func newTextMap(def repository.Definition, outputs []Tensor) (Decoder, error) {
	d := &textMap{def: def}
	var full []int64
	var err error
	if d.output, full, err = pick(outputs, "output.name", def.Output.Name, floatTypes...); err != nil {
		return nil, err
	}
	if n := len(full); n != 2 && n != 3 {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want [1,h,w] or [h,w]", d.output.name, full)
	}
	return d, nil
}

func (d *textMap) trialCheck() TrialCheck { return sameOnly(d.output) }

// lineLimits are what lines of text must reach.
type lineLimits struct {
	score float64
	lines int
}

// textDetection applies a request to the limits of a definition.
func (p *Params) textDetection(o *repository.Output) (lineLimits, error) {
	l := lineLimits{o.Score, o.MaxBoxes}
	if p.TopK != 0 || p.IoU != nil || len(p.Classes) > 0 {
		return l, apierror.New(apierror.InvalidParameter, "top_k, iou_threshold and classes are for classes and boxes; this model finds text and takes score_threshold and max_boxes")
	}
	if p.Score != nil {
		if l.score = *p.Score; !(l.score >= 0 && l.score <= 1) {
			return l, apierror.New(apierror.InvalidParameter, "score_threshold: %v is out of range (0–1)", l.score)
		}
	}
	if p.MaxBoxes != 0 {
		if l.lines = p.MaxBoxes; l.lines < 1 || l.lines > MaxBoxes {
			return l, apierror.New(apierror.InvalidParameter, "max_boxes: %d is out of range (1–%d)", l.lines, MaxBoxes)
		}
	}
	_, err := p.encoding()
	return l, err
}

// Decode returns the lines of text.
func (d *textMap) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	limits, err := p.textDetection(&d.def.Output)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	mem := scratches.Get().(*scratch)
	defer scratches.Put(mem)
	m, err := d.probabilities(mem, outputs)
	if err != nil {
		return nil, err
	}
	lines := d.lines(mem, m, transform, limits.score)
	sortLines(lines)
	lines = mostCertain(lines, limits.lines)
	return &TextLines{lines, Frame{Width: transform.Width, Height: transform.Height}}, nil
}

// probabilityMap is a map of probabilities.
type probabilityMap struct {
	values        []float32
	width, height int
}

// probabilities reads the map.
func (d *textMap) probabilities(mem *scratch, outputs []Tensor) (m probabilityMap, err error) {
	t, err := d.output.read(outputs)
	if err != nil {
		return m, err
	}
	shape := t.Shape
	if len(shape) == 3 && shape[0] > 0 {
		shape = shape[1:]
	}
	if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 || elements(t.Shape) < 1 {
		return m, unusable(fmt.Errorf("output %q has the shape %v", t.Name, t.Shape))
	}
	m.height, m.width = int(shape[0]), int(shape[1])
	values, _, err := d.output.floatsOf(&mem.floats, outputs)
	if err != nil {
		return m, err
	}
	m.values = values[:m.width*m.height]
	if d.def.Output.Activation == repository.ActivationSigmoid {
		mem.more = slices.Grow(mem.more[:0], len(m.values))[:len(m.values)]
		for i, v := range m.values {
			mem.more[i] = float32(sigmoidOf(float64(v)))
		}
		m.values = mem.more
	}
	const slack = 1e-2 // float16 is rounded
	for _, v := range m.values {
		if !(v >= -slack && v <= 1+slack) {
			return m, d.implausible(v, t.Name)
		}
	}
	return m, nil
}

// implausible is the error of a value that is no probability.
func (d *textMap) implausible(v float32, output string) error {
	if v-v != 0 {
		return notFinite(output)
	}
	return unusable(errors.New("probabilities of text are not within 0 to 1; are they logits (output.activation: sigmoid)?"))
}

// The least shorter side of a rectangle around an outline, of the same after it has grown, both in points of the map, and of a line in
// whole pixels of the image; min_size in DBPostProcess, and filter_tag_det_res in PaddleOCR's tools/infer/predict_det.py.
const (
	minOutline = 3
	minGrown   = 5
	minLine    = 4
)

// lines finds the lines of text whose score reaches a threshold.
func (d *textMap) lines(mem *scratch, m probabilityMap, t geometry.Transform, threshold float64) []TextLine {
	o := &d.def.Output
	lines := []TextLine{}
	slow := o.Text.ScoreMode == repository.ScoreSlow
	c := newContours(mem, m, float32(o.Text.MapThreshold), o.Text.Dilate, o.MaxCandidates)
	for outline, more := c.next(); more; outline, more = c.next() {
		quad, shorter := mem.hull.minAreaRect(outline)
		if shorter < minOutline {
			continue
		}
		var score float64
		if slow {
			score = m.meanWithin(mem, outline)
		} else {
			score = m.meanOfQuad(&mem.spans, quad)
		}
		if score < threshold {
			continue
		}
		mem.grown = grow(mem.grown[:0], quad, o.Text.Unclip)
		quad, shorter = mem.hull.minAreaRect(mem.grown)
		if shorter < minGrown {
			continue
		}
		if line, ok := d.line(quad, m, t); ok {
			line.Score = min(score, 1)
			lines = append(lines, line)
		}
	}
	return lines
}

// line maps a rectangle of the map to whole pixels of the image. It reports whether it is large enough.
func (d *textMap) line(quad [4]vertex, m probabilityMap, t geometry.Transform) (line TextLine, ok bool) {
	perX, perY := float64(t.InputW)/float64(m.width), float64(t.InputH)/float64(m.height)
	for i, p := range quad {
		x, y := (p.x*perX-t.OffsetX)/t.ScaleX, (p.y*perY-t.OffsetY)/t.ScaleY
		quad[i] = vertex{max(0, min(math.RoundToEven(x), float64(t.Width-1))), max(0, min(math.RoundToEven(y), float64(t.Height-1)))}
	}
	quad = clockwise(quad)
	for i, p := range quad {
		line.Corners[i] = [2]float64{p.x, p.y}
	}
	width, height := quad[0].distance(quad[1]), quad[0].distance(quad[3])
	return line, int(width) >= minLine && int(height) >= minLine
}

// clockwise orders corners: the upper one of the two at the left, the upper one of those at the right, the lower ones of the right and of
// the left; order_points_clockwise in RapidOCR's ch_ppocr_det/text_detect.py.
func clockwise(quad [4]vertex) [4]vertex {
	slices.SortStableFunc(quad[:], func(a, b vertex) int { return cmp.Compare(a.x, b.x) })
	if quad[1].y < quad[0].y {
		quad[0], quad[1] = quad[1], quad[0]
	}
	if quad[3].y < quad[2].y {
		quad[2], quad[3] = quad[3], quad[2]
	}
	return [4]vertex{quad[0], quad[2], quad[3], quad[1]}
}

// sameLine is how far apart, in pixels, the first corners of lines may be in height that are read from left to right.
const sameLine = 10

// sortLines sorts lines in reading order, by their first corners; sorted_boxes in PaddleOCR's tools/infer/predict_system.py.
func sortLines(lines []TextLine) {
	slices.SortStableFunc(lines, func(a, b TextLine) int {
		return cmp.Or(cmp.Compare(a.Corners[0][1], b.Corners[0][1]), cmp.Compare(a.Corners[0][0], b.Corners[0][0]))
	})
	for i := 1; i < len(lines); i++ {
		for j := i; j > 0; j-- {
			a, b := &lines[j-1], &lines[j]
			if math.Abs(b.Corners[0][1]-a.Corners[0][1]) >= sameLine || b.Corners[0][0] >= a.Corners[0][0] {
				break
			}
			*a, *b = *b, *a
		}
	}
}

// mostCertain keeps as many lines as allowed, those of the highest scores, in their order.
func mostCertain(lines []TextLine, most int) []TextLine {
	if len(lines) <= most {
		return lines
	}
	scores := make([]float64, len(lines))
	for i, l := range lines {
		scores[i] = l.Score
	}
	slices.Sort(scores)
	least := scores[len(scores)-most]
	above := 0
	for _, l := range lines {
		if l.Score > least {
			above++
		}
	}
	equal := most - above // of those with the least score
	return slices.DeleteFunc(lines, func(l TextLine) bool {
		if l.Score == least {
			equal--
			return equal < 0
		}
		return l.Score < least
	})
}
