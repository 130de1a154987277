package postprocess

import (
	"slices"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// A task has one prediction, and each outlet reads nothing else: the JSON of POST /predict is the prediction's own (its
// json tags, or MarshalJSON where Params.Encoding is a choice), the tensors of its image view are a file of internal/v2, and what is
// drawn with annotate a file of internal/annotate. A new task is a decoder and a prediction here, and a file in each of these.
//
// Tasks with boxes share their decoders: what their objects have besides a box is an extra, which reads it for the boxes that
// were selected. Their predictions are Objects, so that outlets that only know boxes can read them all.

// Objects is a prediction of objects: *Detected, *Oriented, *Segmented, *Posed or *TextLines.
type Objects interface {
	Prediction
	Len() int
	// Box returns an object's box; for an oriented one that is the smallest upright box around it.
	Box(i int) Box
	// Size returns that of the image.
	Size() (width, height int)
	// Discards counts boxes far outside the image, see Detected.Discarded.
	Discards() int
}

// Frame is what predictions of objects have in common besides them.
type Frame struct {
	Width     int `json:"width"` // of the image
	Height    int `json:"height"`
	Tiles     int `json:"tiles,omitempty"` // of which the objects were merged; 0: the image was predicted as a whole
	Discarded int `json:"-"`
}

// Size implements Objects.
func (f *Frame) Size() (width, height int) { return f.Width, f.Height }

// Discards implements Objects.
func (f *Frame) Discards() int { return f.Discarded }

// Len implements Objects.
func (d *Detected) Len() int { return len(d.Boxes) }

// Box implements Objects.
func (d *Detected) Box(i int) Box { return d.Boxes[i] }

// Size implements Objects.
func (d *Detected) Size() (width, height int) { return d.Width, d.Height }

// Discards implements Objects.
func (d *Detected) Discards() int { return d.Discarded }

func (d *Detected) frame() Frame { return Frame{d.Width, d.Height, d.Tiles, d.Discarded} }

// extra reads what the objects of a task have besides boxes.
type extra interface {
	// tail returns how many numbers of an object follow its classes in a row of the decoder's table.
	tail() int
	// encodings lists what Params.Encoding may be, the default first.
	encodings() []string
	// finish makes the prediction from the candidates in the scratch.
	finish(to *detection, outputs []Tensor) (Prediction, error)
}

// newExtra returns the extra of a definition; nil for tasks without one.
func newExtra(def *repository.Definition, outputs []Tensor) (extra, error) {
	switch def.Task {
	case repository.OrientedDetection:
		return orientation{}, nil
	case repository.InstanceSegmentation:
		return newInstances(def, outputs)
	case repository.Pose:
		return newKeypoints(def, outputs)
	}
	return nil, nil
}

func tailOf(x extra) int {
	if x == nil {
		return 0
	}
	return x.tail()
}

func encodingsOf(x extra) []string {
	if x == nil {
		return nil
	}
	return x.encodings()
}

// tail finds the numbers that follow the classes of an object.
type tail struct {
	values                   []float32
	first, perRow, perNumber int // the first number, and distances in values
}

func (t *tail) at(row, number int) float32 {
	return t.values[row*t.perRow+(t.first+number)*t.perNumber]
}

// origin returns the row in the outputs that a box comes from.
func (to *detection) origin(box int) int { return int(to.scratch.candidates[to.picked[box]].row) }

// taskDecoders are the constructors of decoders of tasks other than classification and those with boxes, by Output.Decode.
var taskDecoders = map[string]func(repository.Definition, []Tensor) (Decoder, error){
	repository.DecodeLogitsMap: newSemantic,
	repository.DecodeClassMap:  newSemantic,
	repository.DecodeVector:    newEmbedding,
	repository.DecodeMap:       newDense,
	repository.DecodeImage:     newImage,
	repository.DecodeDB:        newTextMap,
	repository.DecodeCTC:       newSequence,
}

// The values of Params.Encoding.
const (
	EncodingRLE     = "rle"
	EncodingPolygon = "polygon"
	EncodingPNG     = "png"
	EncodingJPEG    = "jpeg"
	EncodingRaw     = "raw"
	EncodingList    = "list"
	EncodingBase64  = "base64"
)

// Encodings lists the values of Params.Encoding.
func Encodings() []string {
	return []string{EncodingRLE, EncodingPolygon, EncodingPNG, EncodingJPEG, EncodingRaw, EncodingList, EncodingBase64}
}

// encoding returns that of the request, which must be one of those allowed; without one, the first.
func (p *Params) encoding(allowed ...string) (string, error) {
	wanted := p.Encoding
	switch {
	case wanted == "" && len(allowed) > 0:
		return allowed[0], nil
	case wanted == "":
		return "", nil
	case len(allowed) == 0:
		return "", apierror.New(apierror.InvalidParameter, "encoding is for masks, maps, vectors and images; predictions of this model have none")
	case !slices.Contains(allowed, wanted):
		return "", apierror.New(apierror.InvalidParameter, "encoding: %s does not apply to this model; allowed: %s", apierror.Quote(wanted), strings.Join(allowed, ", "))
	}
	return wanted, nil
}

// withoutObjects is the encoding of a task that takes no other parameter.
func (p *Params) withoutObjects(allowed ...string) (string, error) {
	if p.TopK != 0 || p.Score != nil || p.IoU != nil || len(p.Classes) > 0 || p.MaxBoxes != 0 {
		return "", apierror.New(apierror.InvalidParameter, "top_k, score_threshold, iou_threshold, classes and max_boxes are for classes and boxes; this model takes encoding (%s)",
			strings.Join(allowed, ", "))
	}
	return p.encoding(allowed...)
}
