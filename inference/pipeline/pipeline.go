// Package pipeline runs the steps of a definition with task: pipeline on an image: each step is a model, and what it gets is the whole image, or
// the objects that an earlier step found, cropped. What the models are it does not know: the engine gives it those that are served (Model). An
// image is decoded once; crops are made of its pixels when their model has room for them.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
)

// Model is a model that steps run. It is safe for concurrent use.
type Model interface {
	// Definition is the model's, completed from its ONNX file.
	Definition() *repository.Definition
	// Rows is how many images the model can have in hand, those that are prepared while others run included.
	Rows() int
	// Predict makes a prediction for the image that pixels returns, and frees it. It waits while the model has no room, until ctx ends.
	Predict(ctx context.Context, pixels Pixels, p postprocess.Params) (postprocess.Prediction, Timing, error)
}

// Pixels returns decoded pixels, and what frees them.
type Pixels func() (img *preprocess.Image, free func(), err error)

// Timing is the duration of each stage of a step. With several crops, each stage is that of the slowest one.
type Timing struct {
	Queue       time.Duration
	Crop        time.Duration
	Preprocess  time.Duration
	Infer       time.Duration
	Postprocess time.Duration
}

// Pipeline is a definition whose models are there. It is safe for concurrent use.
type Pipeline struct {
	steps    []step
	top      []*step // those that see the whole image
	maxCrops int64
	depth    int // steps of steps
}

// step is a step with its model.
type step struct {
	*repository.PipelineStep

	model    Model
	nested   *Pipeline // instead of a model
	params   postprocess.Params
	children []*step // those of its objects, in the order of the definition
	crop     crop
}

// New makes a pipeline of a definition that is valid. resolve returns the model of a name, or the pipeline. The error joins what is wrong with
// each step, and names it.
func New(d *repository.Definition, resolve func(name string) (Model, *Pipeline, error)) (*Pipeline, error) {
	p := &Pipeline{steps: make([]step, len(d.Steps)), maxCrops: int64(d.MaxCrops)}
	var errs []error
	depths := map[string]int{"": 0}
	for i := range d.Steps {
		s := &p.steps[i]
		s.PipelineStep = &d.Steps[i]
		err := s.resolve(resolve)
		if err == nil {
			err = p.connect(s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("step %s: %w", s.Name, err))
		}
		depth := depths[s.Of] + 1
		depths[s.Name] = depth
		if s.nested != nil {
			depth += s.nested.depth - 1
		}
		if p.depth = max(p.depth, depth); depth > repository.MaxDepth {
			errs = append(errs, fmt.Errorf("step %s: is %d steps below the image; the limit is %d", s.Name, depth, repository.MaxDepth))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// resolve finds the step's model.
func (s *step) resolve(resolve func(name string) (Model, *Pipeline, error)) (err error) {
	if s.model, s.nested, err = resolve(s.Model); err != nil {
		return err
	}
	if s.nested != nil {
		if given := parametersOf(&s.Parameters); len(given) > 0 {
			return fmt.Errorf("parameters: model %s is a pipeline, whose steps have their own", s.Model)
		}
		return nil
	}
	d := s.model.Definition()
	switch {
	case !d.Task.SeesImages():
		return fmt.Errorf("model %s has no task, and takes tensors instead of images", s.Model)
	case d.Input.Channels() == 4:
		return fmt.Errorf("model %s takes alpha, which the images of a pipeline do not have", s.Model)
	}
	for _, key := range parametersOf(&s.Parameters) {
		if !applies(key, d.Task) {
			return fmt.Errorf("parameters.%s: does not apply to model %s, whose task is %s", key, s.Model, d.Task)
		}
	}
	s.params = params(&s.Parameters)
	return nil
}

// connect makes the step one of those of the whole image, or of the objects of an earlier one.
func (p *Pipeline) connect(s *step) error {
	if s.Of == "" {
		p.top = append(p.top, s)
		return p.checkTurn(s)
	}
	parent := p.find(s.Of)
	if parent == nil || parent.model == nil && parent.nested == nil {
		return nil // what is wrong with that step is reported there
	}
	if parent.nested != nil {
		return fmt.Errorf("of: step %s is a pipeline, whose objects have the steps of that", s.Of)
	}
	if err := s.checkObjects(parent.model.Definition()); err != nil {
		return err
	}
	if err := p.checkTurn(s); err != nil {
		return err
	}
	if s.MinScore > 0 && (s.model == nil || !hasScore(s.model.Definition().Task)) {
		return fmt.Errorf("min_score: model %s gives no class and no text, whose score that would be", s.Model)
	}
	parent.children = append(parent.children, s)
	return nil
}

func (p *Pipeline) find(name string) *step {
	i := slices.IndexFunc(p.steps, func(s step) bool { return s.PipelineStep != nil && s.Name == name })
	if i < 0 {
		return nil
	}
	return &p.steps[i]
}

// checkObjects checks whether the objects of an earlier step can be cropped as the step says.
func (s *step) checkObjects(of *repository.Definition) (err error) {
	if !of.Task.HasObjects() {
		return fmt.Errorf("of: step %s finds no objects: the task of model %s is %s", s.Of, of.Name, of.Task)
	}
	for _, label := range s.Labels {
		if len(of.Labels) > 0 && !slices.Contains(of.Labels, label) {
			return fmt.Errorf("labels: %q is no label of model %s", label, of.Name)
		}
	}
	s.crop, err = newCrop(&s.PipelineStep.Crop, of)
	return err
}

// checkTurn checks the step that says how a crop, or the image, is turned.
func (p *Pipeline) checkTurn(s *step) error {
	if s.Turn.Step == "" {
		return nil
	}
	by := p.find(s.Turn.Step)
	if by == nil || by.model == nil && by.nested == nil {
		return nil // reported there
	}
	if by.model == nil || by.model.Definition().Task != repository.Classification {
		return fmt.Errorf("turn.step: step %s does not classify", s.Turn.Step)
	}
	labels := by.model.Definition().Labels
	if s.Turn.By == repository.TurnLabel {
		for _, label := range labels {
			if _, ok := quarterTurns(label); !ok {
				return fmt.Errorf("turn.by: the label %q of model %s is no angle; allowed: 0, 90, 180, 270, also with _degree", label, by.Model)
			}
		}
		if len(labels) == 0 {
			return fmt.Errorf("turn.by: model %s has no labels, which would be angles", by.Model)
		}
		return nil
	}
	if len(labels) > 0 && !slices.Contains(labels, s.Turn.Label) {
		return fmt.Errorf("turn.label: %q is no label of model %s, which has %s", s.Turn.Label, by.Model, some(labels))
	}
	return nil
}

// quarterTurns returns how many quarter turns a label of a classifier of orientations is, such as 90 or 180_degree.
func quarterTurns(label string) (turns int, ok bool) {
	degrees, err := strconv.Atoi(strings.TrimSuffix(label, "_degree"))
	return degrees / 90, err == nil && degrees >= 0 && degrees < 360 && degrees%90 == 0
}

// some lists the first of many labels.
func some(labels []string) string {
	const most = 8
	text := strings.Join(labels[:min(len(labels), most)], ", ")
	if len(labels) > most {
		text += ", …"
	}
	return text
}

// rows is how many images the step can have in hand.
func (s *step) rows() int {
	if s.nested == nil {
		return s.model.Rows()
	}
	most := 1
	for _, t := range s.nested.top {
		most = max(most, t.rows())
	}
	return most
}

// hasScore reports whether predictions of a task have one score of the whole image.
func hasScore(t repository.Task) bool {
	return t == repository.Classification || t == repository.TextRecognition
}

// parametersOf lists the keys of parameters that are given.
func parametersOf(p *repository.StepParameters) (keys []string) {
	for _, of := range []struct {
		key   string
		given bool
	}{{"top_k", p.TopK != 0}, {"score_threshold", p.Score != 0}, {"iou_threshold", p.IoU != 0}, {"classes", len(p.Classes) > 0},
		{"max_boxes", p.MaxBoxes != 0}, {"encoding", p.Encoding != ""}} {
		if of.given {
			keys = append(keys, of.key)
		}
	}
	return keys
}

// applies reports whether predictions of a task may have a parameter.
func applies(key string, t repository.Task) bool {
	switch key {
	case "top_k":
		return t == repository.Classification
	case "encoding":
		return !hasScore(t) && t != repository.TextDetection
	case "score_threshold", "max_boxes":
		return t.HasObjects()
	}
	return t.FindsObjects()
}

// params are those of predictions.
func params(p *repository.StepParameters) postprocess.Params {
	out := postprocess.Params{TopK: p.TopK, Classes: p.Classes, MaxBoxes: p.MaxBoxes, Encoding: p.Encoding}
	if p.Score != 0 {
		out.Score = &p.Score
	}
	if p.IoU != 0 {
		out.IoU = &p.IoU
	}
	return out
}
