package repository

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"fovea/internal/config"
)

// The values of Output.Decode of tasks with text.
const (
	DecodeDB  = "db"  // differentiable binarization: the probability that a point belongs to text
	DecodeCTC = "ctc" // the scores of each character along a line, of which the first is no character
)

// The values of TextOutput.ScoreMode: what the score of a line of text is the mean of.
const (
	ScoreFast = "fast" // the rectangle around it
	ScoreSlow = "slow" // its outline
)

// MaxLines is how many lines of text a definition or a request may ask for, and MaxContours how many outlines of a map are considered.
const (
	MaxLines    = 1000
	maxContours = 10000
	maxUnclip   = 10
)

// maxCharacter is the length of an entry of a dictionary, in bytes.
const maxCharacter = 64

// TextOutput is how the probabilities of text become lines. The defaults are PaddleOCR's (tools/infer/utility.py).
type TextOutput struct {
	MapThreshold float64 `yaml:"map_threshold"` // db: points above it belong to text; default 0.3. logits_map of one class: points above it have it; default 0
	Unclip       float64 `yaml:"unclip_ratio"`  // db: outlines grow by area × this ÷ perimeter; default 1.5
	Dilate       bool    `yaml:"dilate"`        // db: text grows by a point to the right and below first
	ScoreMode    string  `yaml:"score_mode"`    // db: fast (default), slow
}

// fillText sets the defaults of tasks with text.
func (o *Output) fillText(task Task, given func(key string) bool) {
	fillValue(&o.Activation, ActivationNone, given("output.activation"))
	if task == TextRecognition {
		fillValue(&o.ClassFirst, 1, given("output.class_first"))
		return
	}
	fillValue(&o.Score, 0.6, given("output.score_threshold"))
	fillValue(&o.MaxCandidates, MaxLines, given("output.max_candidates"))
	fillValue(&o.MaxBoxes, MaxLines, given("output.max_boxes"))
	fillValue(&o.Text.MapThreshold, 0.3, given("output.map_threshold"))
	fillValue(&o.Text.Unclip, 1.5, given("output.unclip_ratio"))
	fillValue(&o.Text.ScoreMode, ScoreFast, given("output.score_mode"))
}

// checkText checks the keys of tasks with text.
func (d *Definition) checkText(errs *config.Errors) {
	o, t := &d.Output, &d.Output.Text
	if d.Task == TextRecognition {
		if d.LabelsFile == "" && len(d.Labels) == 0 {
			errs.Add("labels", "is required: the file with the characters, one per line")
		}
		if o.ClassFirst == 0 {
			errs.Add("output.class_first", "0 leaves no class for what is no character; with decode: ctc the first is 1")
		}
	}
	if d.Task != TextDetection {
		onlyWith(errs, "output.map_threshold", t.MapThreshold != 0 && d.Output.Decode != DecodeLogitsMap, "task: text_detection, or decode: logits_map")
		onlyWith(errs, "output.unclip_ratio", t.Unclip != 0, "task: text_detection")
		onlyWith(errs, "output.dilate", t.Dilate, "task: text_detection")
		onlyWith(errs, "output.score_mode", t.ScoreMode != "", "task: text_detection")
		return
	}
	onlyWith(errs, "labels", d.LabelsFile != "", "a task with classes")
	onlyWith(errs, "output.class_first", o.ClassFirst != 0, "a task with classes")
	config.Range(errs, "output.score_threshold", o.Score, 0, 1)
	config.Range(errs, "output.max_candidates", o.MaxCandidates, 1, maxContours)
	config.Range(errs, "output.max_boxes", o.MaxBoxes, 1, MaxLines)
	config.Range(errs, "output.unclip_ratio", t.Unclip, 0, maxUnclip)
	if !(t.MapThreshold > 0 && t.MapThreshold < 1) {
		errs.Add("output.map_threshold", "%v is out of range (>0–<1)", t.MapThreshold)
	}
	errs.OneOf("output.score_mode", t.ScoreMode, ScoreFast, ScoreSlow)
}

// parseLabels parses the file that the definition names: labels, or the characters of text.
func (d *Definition) parseLabels(data []byte) ([]string, error) {
	if d.Task == TextRecognition {
		return ParseDictionary(data)
	}
	return ParseLabels(data)
}

// ParseDictionary parses the characters of a model that reads text, one per line, from the first after the blank on. Spaces count, as a
// character may be one. A byte order mark, carriage returns and trailing empty lines are ignored.
func ParseDictionary(data []byte) ([]string, error) {
	text := strings.TrimRight(strings.TrimLeft(string(data), "\ufeff"), "\r\n")
	if text == "" {
		return nil, errors.New("there are no characters; want one per line")
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("is not UTF-8")
	}
	if n := strings.Count(text, "\n") + 1; n > MaxLabels {
		return nil, fmt.Errorf("there are %d characters; the limit is %d", n, MaxLabels)
	}
	list := strings.Split(text, "\n")
	for i, character := range list {
		list[i] = strings.TrimRight(character, "\r")
		if len(list[i]) > maxCharacter {
			return nil, fmt.Errorf("line %d has %d bytes; the limit of a character is %d", i+1, len(list[i]), maxCharacter)
		}
	}
	return list, nil
}

// limitsSides reports whether each side is resized on its own, to a multiple.
func (in *Input) limitsSides() bool { return in.Resize == Limit || in.Resize == LongestEdge }

// maxAspectRatio is the largest value of Input.MaxAspect.
const maxAspectRatio = 1000

// checkOpenText checks the keys of inputs of open size that models of text take.
func (in *Input) checkOpenText(errs *config.Errors) {
	if in.limitsSides() {
		optional(errs, "input.to_multiple", in.ToMultiple, RoundNearest, RoundFloor, RoundCeil)
		onlyWith(errs, "input.to_multiple", in.ToMultiple != "" && in.Multiple == 0, "multiple")
	} else {
		onlyWith(errs, "input.to_multiple", in.ToMultiple != "", "resize: limit or longest_edge")
	}
	onlyWith(errs, "input.max_aspect", in.MaxAspect != 0 && in.Resize != Limit, "resize: limit")
	if in.MaxAspect != 0 && !(in.MaxAspect >= 1 && in.MaxAspect <= maxAspectRatio) {
		errs.Add("input.max_aspect", "%v is out of range (1–%d)", in.MaxAspect, maxAspectRatio)
	}
	config.Range(errs, "input.min_width", in.MinWidth, 0, maxSide)
	onlyWith(errs, "input.min_width", in.MinWidth != 0 && in.Resize != FitHeight, "resize: fit_height")
	if in.MinWidth > 0 && in.Width > 0 && in.MinWidth > in.Width {
		errs.Add("input.min_width", "%d is more than input.width, which is %d", in.MinWidth, in.Width)
	}
}
