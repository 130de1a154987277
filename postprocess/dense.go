package postprocess

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Map is a number at each point of a grid over an image, line by line.
type Map struct {
	Width, Height int
	Values        []float32
	// Encoding is EncodingPNG (also empty) or EncodingRaw.
	Encoding string
}

// Range returns the lowest and the highest number.
func (m *Map) Range() (low, high float64) {
	return float64(slices.Min(m.Values)), float64(slices.Max(m.Values))
}

func (m *Map) gray16() (img *image.Gray16, scale, offset float64) {
	low, high := m.Range()
	img = image.NewGray16(image.Rect(0, 0, m.Width, m.Height))
	if scale = (high - low) / math.MaxUint16; scale == 0 {
		return img, 0, low
	}
	for i, v := range m.Values {
		binary.BigEndian.PutUint16(img.Pix[2*i:], uint16(math.Round((float64(v)-low)/scale)))
	}
	return img, scale, low
}

// PNG returns the map as an image of 16 bits: a number is offset + scale × the value of its pixel.
func (m *Map) PNG() (data []byte, scale, offset float64) {
	img, scale, offset := m.gray16()
	return encodePNG(img), scale, offset
}

// MarshalJSON writes {"width":…,"height":…,"scale":…,"offset":…,"png":"…"}, or {"width":…,"height":…,"raw":"…"} with float32, the lowest
// byte first; both in base64.
func (m *Map) MarshalJSON() ([]byte, error) {
	if m.Encoding == EncodingRaw {
		return json.Marshal(struct {
			Width  int    `json:"width"`
			Height int    `json:"height"`
			Raw    []byte `json:"raw"`
		}{m.Width, m.Height, littleEndian(m.Values)})
	}
	data, scale, offset := m.PNG()
	return json.Marshal(struct {
		Width  int     `json:"width"`
		Height int     `json:"height"`
		Scale  float64 `json:"scale"`
		Offset float64 `json:"offset"`
		PNG    []byte  `json:"png"`
	}{m.Width, m.Height, scale, offset, data})
}

func littleEndian(values []float32) []byte {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// DepthMap holds the depth, or the inverse depth, of an image, in the model's unit.
type DepthMap struct {
	Depth  *Map    `json:"depth"` // over the whole image
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Width  int     `json:"width"` // of the image
	Height int     `json:"height"`
}

func (*DepthMap) prediction() {}

// AnomalyMap holds how unusual an image is, and each part of it.
type AnomalyMap struct {
	Score     float64 `json:"score"`
	Anomalous bool    `json:"anomalous"` // the score reaches the definition's threshold
	Map       *Map    `json:"map"`       // over the whole image
	// Mask has the pixels that the model finds anomalous, if it has an output of them.
	Mask   *Mask `json:"mask,omitempty"`
	Width  int   `json:"width"` // of the image
	Height int   `json:"height"`
}

func (*AnomalyMap) prediction() {}

// dense decodes a number at each point of a grid over the input, [h,w].
type dense struct {
	def      repository.Definition
	output   source
	score    source // of the image
	hasScore bool
	flag     source // whether it is anomalous
	hasFlag  bool
	mask     source // of anomalous pixels
	hasMask  bool
}

func newDense(def repository.Definition, outputs []Tensor) (Decoder, error) {
	d := &dense{def: def, hasScore: def.Output.Scores != ""}
	var full []int64
	var err error
	if d.output, full, err = pick(outputs, "output.name", def.Output.Name, floatTypes...); err != nil {
		return nil, err
	}
	if shape := repository.Squeeze(full, 2); len(shape) != 2 {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want [h,w]", d.output.name, full)
	}
	if d.hasScore {
		if d.score, full, err = pick(outputs, "output.scores", def.Output.Scores, floatTypes...); err == nil && len(repository.Squeeze(full, 0)) != 0 {
			err = fmt.Errorf("output.scores: rows of %q in model.onnx have the shape %v; want one number", d.score.name, full)
		}
	}
	if err == nil {
		err = d.pickAnomalous(outputs)
	}
	return d, err
}

// pickAnomalous finds the outputs of a model that decides what is anomalous.
func (d *dense) pickAnomalous(outputs []Tensor) (err error) {
	flag, mask := d.def.Output.Dense.Anomalous, d.def.Output.Mask.Masks
	var full []int64
	if d.hasFlag = flag != ""; d.hasFlag {
		if d.flag, full, err = pick(outputs, "output.anomalous", flag, repository.MaskTypes()...); err != nil {
			return err
		}
		if len(repository.Squeeze(full, 0)) != 0 {
			return fmt.Errorf("output.anomalous: rows of %q in model.onnx have the shape %v; want one number", flag, full)
		}
	}
	if d.hasMask = mask != ""; d.hasMask {
		if d.mask, full, err = pick(outputs, "output.masks", mask, repository.MaskTypes()...); err != nil {
			return err
		}
		if len(repository.Squeeze(full, 2)) != 2 {
			return fmt.Errorf("output.masks: rows of %q in model.onnx have the shape %v; want [h,w]", mask, full)
		}
	}
	return nil
}

func (d *dense) trialCheck() TrialCheck { return sameOnly(d.output) }

// Decode returns the map.
func (d *dense) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	score := p.Score
	if d.def.Task == repository.Anomaly {
		p.Score = nil // any number may be its threshold
	}
	encoding, err := p.withoutObjects(EncodingPNG, EncodingRaw)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	values, shape, err := d.output.gridOf(&s.floats, outputs, 2)
	if err != nil {
		return nil, err
	}
	m := overImage(values, int(shape[1]), int(shape[0]), transform, d.def.Output.Dense.Aligned)
	m.Encoding = encoding
	low, high := m.Range()
	if d.def.Task == repository.Depth {
		return &DepthMap{m, low, high, transform.Width, transform.Height}, nil
	}
	if d.hasScore {
		values, t, err := d.score.floatsOf(&s.more, outputs)
		if err != nil {
			return nil, err
		}
		if len(values) != 1 || !allFinite(values) {
			return nil, unusable(fmt.Errorf("output %q is not one finite number", t.Name))
		}
		high = float64(values[0])
	}
	threshold := d.def.Output.Score
	if score != nil {
		threshold = *score
	}
	out := &AnomalyMap{Score: high, Anomalous: high >= threshold, Map: m, Width: transform.Width, Height: transform.Height}
	if d.hasFlag && score == nil {
		t, err := d.flag.read(outputs)
		if err != nil {
			return nil, err
		}
		if elements(t.Shape) != 1 {
			return nil, unusable(fmt.Errorf("output %q has the shape %v; want one number", t.Name, t.Shape))
		}
		out.Anomalous = t.number(0) > 0
	}
	if d.hasMask {
		out.Mask, err = d.anomalous(s, outputs, transform)
	}
	return out, err
}

// anomalous is the mask of the pixels that the model finds anomalous: those whose nearest number is above 0.
func (d *dense) anomalous(s *scratch, outputs []Tensor, t geometry.Transform) (*Mask, error) {
	values, shape, err := d.mask.gridOf(&s.floats, outputs, 2)
	if err != nil {
		return nil, err
	}
	lines, columns := int(shape[0]), int(shape[1])
	perX, perY := axisOf(t.ScaleX, t.OffsetX, columns, t.InputW), axisOf(t.ScaleY, t.OffsetY, lines, t.InputH)
	rows := make([]int, t.Height) // where the lines of the pixels begin
	for y := range rows {
		rows[y] = clampTo(int(math.Floor(perY.at(y)+0.5)), lines) * columns
	}
	var turns []uint32
	inside := false
	for x := range t.Width {
		column := clampTo(int(math.Floor(perX.at(x)+0.5)), columns)
		for y, row := range rows {
			if in := values[row+column] > 0; in != inside {
				inside = in
				turns = append(turns, uint32(x*t.Height+y))
			}
		}
		if len(turns) > maxRuns {
			return nil, unusable(errRagged)
		}
	}
	return &Mask{Width: t.Width, Height: t.Height, Runs: runsOf(turns, t.Width*t.Height)}, nil
}

// overImage returns what of a map over the input lies over the image, at about the map's own resolution. A pixel of the image that the
// input lacks, because of a crop, has the number at the border. With aligned corners the map's first and last centers are those of the
// image, as with align_corners in PyTorch.
func overImage(values []float32, columns, lines int, t geometry.Transform, aligned bool) *Map {
	size := func(side int, scale float64, n, input int) int {
		visible := math.Round(float64(side) * scale * float64(n) / float64(input))
		return int(max(1, min(visible, float64(n))))
	}
	m := &Map{Width: size(t.Width, t.ScaleX, columns, t.InputW), Height: size(t.Height, t.ScaleY, lines, t.InputH)}
	perX, perY := float64(t.Width)/float64(m.Width), float64(t.Height)/float64(m.Height)
	g := field{values: values, width: columns, height: lines, x: axisOf(t.ScaleX*perX, t.OffsetX, columns, t.InputW), y: axisOf(t.ScaleY*perY, t.OffsetY, lines, t.InputH)}
	if aligned {
		g.x, g.y = alignedAxis(columns, t.Width, perX), alignedAxis(lines, t.Height, perY)
	}
	m.Values = make([]float32, m.Width*m.Height)
	column := make([]float32, lines)
	for x := range m.Width {
		g.column(x, column)
		for y := range m.Height {
			at := g.y.at(y)
			floor := math.Floor(at)
			a, b := column[clampTo(int(floor), lines)], column[clampTo(int(floor)+1, lines)]
			m.Values[y*m.Width+x] = lerp(a, b, at-floor)
		}
	}
	return m
}

// alignedAxis is the axis of n numbers over a side of an image, whose first and last centers are the same, for pixels of a number of the
// image's.
func alignedAxis(n, side int, pixels float64) axis {
	per := float64(n-1) / float64(max(side-1, 1))
	return axis{pixels * per, -per / 2}
}

// sameOnly is the check of decoders that take any numbers.
func sameOnly(output source) TrialCheck {
	return &trialCheck{aspects: []aspect{&sameCheck{output: output.name}}, read: func(s *scratch, outputs []Tensor) (trialRow, error) {
		values, _, err := output.floatsOf(&s.floats, outputs)
		return trialRow{scores: values, perBox: max(1, len(values))}, err
	}}
}
