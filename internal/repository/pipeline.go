package repository

import (
	"reflect"
	"slices"
	"strings"

	"fovea/internal/config"
)

// Pipeline is the task of a definition without weights: its steps run other models of the repository.
const Pipeline Task = "pipeline"

// PipelineStep is one step of a pipeline: a model, and the images that it gets.
type PipelineStep struct {
	Name       string         `yaml:"name"`       // the key of its results in the answer
	Model      string         `yaml:"model"`      // of the repository; it may be a pipeline
	Of         string         `yaml:"of"`         // an earlier step, whose objects are cropped; empty: the whole image
	Labels     []string       `yaml:"labels"`     // with of: only objects with these labels are cropped; empty: all
	Crop       Crop           `yaml:"crop"`       // with of
	Turn       Turn           `yaml:"turn"`       // before the model sees it
	MinScore   float64        `yaml:"min_score"`  // with of: objects are left out of the answer whose best class, or text, has a lower score
	Parameters StepParameters `yaml:"parameters"` // instead of those of the model's definition
}

// The values of Crop.By.
const (
	CropBox    = "box"    // the upright box
	CropQuad   = "quad"   // the four corners, mapped to a rectangle
	CropPoints = "points" // moved, turned and scaled so that the object's points lie on those of a template
)

// TemplateArcFace is the value of Crop.Template.
const TemplateArcFace = "arcface"

// Crop is how an object becomes an image.
type Crop struct {
	By     string  `yaml:"by"`     // box (default), quad, points
	Margin float64 `yaml:"margin"` // box: what is added at each side, as a share of the box's width or height
	// TurnTall is of quad: crops whose height is at least so many times their width are turned counterclockwise by 90°; 0: none.
	TurnTall  float64     `yaml:"turn_tall"`
	Template  string      `yaml:"template"`  // points: arcface
	Target    [][]float64 `yaml:"target"`    // points, instead of a template: x and y in the crop of each point
	Keypoints []string    `yaml:"keypoints"` // points: the names of the points, in the order of target; default: all of the object
	Width     int         `yaml:"width"`     // points: pixels of the crop
	Height    int         `yaml:"height"`    // points
}

// The values of Turn.By.
const (
	TurnHalf  = "half"
	TurnLabel = "label"
)

// Turn turns the crop of an object, or the image, by what an earlier step saw in the same object or image.
type Turn struct {
	Step     string  `yaml:"step"`      // it classifies
	By       string  `yaml:"by"`        // half (default): 180°; label: counterclockwise, by as many degrees as the best class says
	Label    string  `yaml:"label"`     // half: the best class of what is turned
	MinScore float64 `yaml:"min_score"` // of the class
}

// StepParameters are the parameters of a step's predictions; 0 or empty: those of the model's definition. They are as in requests.
type StepParameters struct {
	TopK     int      `yaml:"top_k"`
	Score    float64  `yaml:"score_threshold"`
	IoU      float64  `yaml:"iou_threshold"`
	Classes  []string `yaml:"classes"`
	MaxBoxes int      `yaml:"max_boxes"`
	Encoding string   `yaml:"encoding"`
}

// Limits of pipelines.
const (
	MaxSteps    = 32
	MaxCrops    = 10_000 // of one image
	MaxDepth    = 8      // steps of steps, those of pipelines in pipelines included
	maxMargin   = 10
	maxTurnTall = 1000
	maxTarget   = 1000
)

// DefaultMaxCrops is how many crops one image may have by default: as many as PaddleOCR's DBPostProcess has candidates.
const DefaultMaxCrops = 1000

// arcFaceSide is the side in pixels of the crop that ArcFace's template is for.
const arcFaceSide = 112

// ArcFaceTarget returns where the points of a face lie in a crop of 112×112 pixels: the eyes, the nose and the corners of the mouth, those on
// the left of the image first (arcface_dst in python-package/insightface/utils/face_align.py of insightface).
func ArcFaceTarget() [][]float64 {
	return [][]float64{{38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}}
}

// reserved are the keys of objects in answers.
var reserved = []string{"class", "label", "score", "x1", "y1", "x2", "y2", "corners", "cx", "cy", "w", "h", "angle", "mask", "keypoints", "text", "error", "code"}

func (d *Definition) fillPipeline(given func(key string) bool) {
	fillValue(&d.MaxCrops, DefaultMaxCrops, given("max_crops"))
	d.Steps = slices.Clone(d.Steps)
	for i := range d.Steps {
		s, key := &d.Steps[i], config.Index("steps", i)
		fillValue(&s.Name, s.Model, given(key+".name"))
		if s.Of != "" {
			fillValue(&s.Crop.By, CropBox, given(key+".crop.by"))
		}
		s.Crop.fill(given, key+".crop")
	}
}

func (c *Crop) fill(given func(key string) bool, key string) {
	if c.Template == TemplateArcFace && len(c.Target) == 0 {
		fillValue(&c.Width, arcFaceSide, given(key+".width"))
		fillValue(&c.Height, arcFaceSide, given(key+".height"))
		c.Target = ArcFaceTarget()
		for _, p := range c.Target { // as estimate_norm of face_align.py scales it for sides that 112 divides
			p[0] *= float64(c.Width) / arcFaceSide
			p[1] *= float64(c.Height) / arcFaceSide
		}
	}
}

// checkPipeline checks a definition whose task is Pipeline.
func (d *Definition) checkPipeline(errs *config.Errors) {
	for _, only := range []struct {
		key   string
		given bool
	}{{"input", !reflect.DeepEqual(d.Input, Input{})}, {"output", !reflect.DeepEqual(d.Output, Output{})}, {"labels", d.LabelsFile != ""},
		{"self_test", d.SelfTest != SelfTest{}}, {"instances", len(d.Instances) > 0}, {"batching.max_size", d.Batching.MaxSize != 0},
		{"memory", d.Memory != Memory{}}, {"batching.max_delay", d.Batching.MaxDelay != 0}, {"versions", !reflect.DeepEqual(d.Versions, Versions{})}, {"source.url", d.Source.URL != ""}} {
		if only.given {
			notApplicable(errs, only.key, "does not apply with task: pipeline, which has no weights; the models of its steps have it")
		}
	}
	config.Range(errs, "max_crops", d.MaxCrops, 1, MaxCrops)
	if len(d.Steps) == 0 || len(d.Steps) > MaxSteps {
		errs.Add("steps", "has %d steps; a pipeline has 1 to %d", len(d.Steps), MaxSteps)
		return
	}
	for i := range d.Steps {
		d.checkStep(errs, i)
	}
}

// checkNoSteps reports keys that only pipelines have.
func (d *Definition) checkNoSteps(errs *config.Errors) {
	onlyWith(errs, "steps", len(d.Steps) > 0, "task: pipeline")
	onlyWith(errs, "max_crops", d.MaxCrops != 0, "task: pipeline")
}

// before returns the step of that name among those before the i-th; nil: there is none.
func (d *Definition) before(i int, name string) *PipelineStep {
	for n := range i {
		if d.Steps[n].Name == name {
			return &d.Steps[n]
		}
	}
	return nil
}

func (d *Definition) checkStep(errs *config.Errors, i int) {
	s, key := &d.Steps[i], config.Index("steps", i)
	switch {
	case s.Model == "":
		errs.Add(key+".model", "is required: the name of a model of the repository")
	case !ValidName(s.Model):
		errs.Add(key+".model", "%q is not a valid model name", s.Model)
	case s.Model == d.Name:
		errs.Add(key+".model", "%q is the pipeline itself", s.Model)
	}
	switch {
	case s.Name == "" && s.Model == "":
	case !ValidName(s.Name):
		errs.Add(key+".name", "%q is not a valid name: at most 128 letters, digits and . _ -", s.Name)
	case d.before(i, s.Name) != nil:
		errs.Add(key+".name", "%q is already the name of a step", s.Name)
	case slices.Contains(reserved, s.Name):
		errs.Add(key+".name", "%q is a key of objects in answers; it cannot be the name of a step (nor can %s)", s.Name, strings.Join(reserved, ", "))
	}
	s.Parameters.check(errs, key+".parameters")
	if s.Of == "" {
		onlyWith(errs, key+".crop", !reflect.DeepEqual(s.Crop, Crop{}), "of: the step whose objects are cropped")
		onlyWith(errs, key+".labels", len(s.Labels) > 0, "of: the step whose objects are cropped")
		onlyWith(errs, key+".min_score", s.MinScore != 0, "of: the step whose objects are cropped")
		d.checkTurn(errs, i, key+".turn")
		return
	}
	if d.before(i, s.Of) == nil {
		errs.Add(key+".of", "%q is not the name of an earlier step", s.Of)
	}
	config.Range(errs, key+".min_score", s.MinScore, 0, 1)
	s.Crop.check(errs, key+".crop")
	d.checkTurn(errs, i, key+".turn")
}

func (d *Definition) checkTurn(errs *config.Errors, i int, key string) {
	s := &d.Steps[i]
	t := s.Turn
	if t == (Turn{}) {
		return
	}
	if other := d.before(i, t.Step); other == nil || other.Of != s.Of {
		of := "of: " + s.Of
		if s.Of == "" {
			of = "that sees the whole image"
		}
		errs.Add(key+".step", "%q is not the name of an earlier step %s", t.Step, of)
	}
	optional(errs, key+".by", t.By, TurnHalf, TurnLabel)
	if t.By == TurnLabel {
		onlyWith(errs, key+".label", t.Label != "", "by: half")
	} else if t.Label == "" {
		errs.Add(key+".label", "is required: the class of what is turned")
	}
	config.Range(errs, key+".min_score", t.MinScore, 0, 1)
}

func (c *Crop) check(errs *config.Errors, key string) {
	errs.OneOf(key+".by", c.By, CropBox, CropQuad, CropPoints)
	config.Range(errs, key+".margin", c.Margin, 0, maxMargin)
	onlyWith(errs, key+".margin", c.Margin != 0 && c.By != CropBox, "by: box")
	config.Range(errs, key+".turn_tall", c.TurnTall, 0, maxTurnTall)
	onlyWith(errs, key+".turn_tall", c.TurnTall != 0 && c.By != CropQuad, "by: quad")
	if c.By != CropPoints {
		onlyWith(errs, key+".template", c.Template != "", "by: points")
		onlyWith(errs, key+".target", len(c.Target) > 0 && c.Template == "", "by: points")
		onlyWith(errs, key+".keypoints", len(c.Keypoints) > 0, "by: points")
		onlyWith(errs, key+".width", c.Width != 0 && c.Template == "", "by: points")
		onlyWith(errs, key+".height", c.Height != 0 && c.Template == "", "by: points")
		return
	}
	optional(errs, key+".template", c.Template, TemplateArcFace)
	config.Range(errs, key+".width", c.Width, 1, maxSide)
	config.Range(errs, key+".height", c.Height, 1, maxSide)
	if n := len(c.Target); n < 2 || n > maxTarget {
		errs.Add(key+".target", "has %d points; give a template, or 2 to %d points as [x, y]", n, maxTarget)
		return
	}
	for i, p := range c.Target {
		if len(p) != 2 || !(max(p[0], -p[0], p[1], -p[1]) <= maxSide) {
			errs.Add(config.Index(key+".target", i), "%v is no point [x, y] within %d pixels", p, maxSide)
		}
	}
	if n := len(c.Keypoints); n > 0 && n != len(c.Target) {
		errs.Add(key+".keypoints", "has %d names for %d points", n, len(c.Target))
	}
}

func (p *StepParameters) check(errs *config.Errors, key string) {
	config.Range(errs, key+".top_k", p.TopK, 0, MaxTopK)
	config.Range(errs, key+".score_threshold", p.Score, 0, 1)
	config.Range(errs, key+".iou_threshold", p.IoU, 0, 1)
	config.Range(errs, key+".max_boxes", p.MaxBoxes, 0, maxBoxes)
}

// WithSteps returns models with those that their steps use, and so on, each once. What cannot be read adds nothing.
func (r *Repository) WithSteps(names []string) []string {
	list := slices.Clone(names)
	for i := 0; i < len(list) && len(list) < maxUsed; i++ {
		entry, err := r.LoadAny(list[i])
		if err != nil {
			continue
		}
		for _, s := range entry.Definition.Steps {
			if !slices.Contains(list, s.Model) {
				list = append(list, s.Model)
			}
		}
	}
	return list
}

// maxUsed bounds the models that pipelines use.
const maxUsed = 1000
