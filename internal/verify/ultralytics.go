package verify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Ultralytics' names of formats.
const (
	ultralyticsText = "Ultralytics' text"
	ultralyticsJSON = "Ultralytics' JSON"
)

// isText reports whether every line begins with a number, as in the text files of Ultralytics' save_txt.
func isText(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		first, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := strconv.ParseFloat(first, 64); first != "" && err != nil {
			return false
		}
	}
	return true
}

// parseText reads what Ultralytics' Results.save_txt writes for an image: a line "class cx cy w h", with the confidence and the
// number of a track where they were asked for, in fractions of the image; for classifiers a line "confidence name" per class.
// A file without lines belongs to an image without boxes.
func parseText(text, image string) (*Expected, error) {
	e := &Expected{}
	a := e.answer(image)
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		fields := strings.Fields(line)
		numbers := parseNumbers(fields)
		if e.Format == "" {
			e.Format, e.Detection = ultralyticsText, len(numbers) == len(fields) && len(fields) >= 5
			e.Silent, a.Unit = e.Detection, e.Detection
		}
		if err := a.addLine(line, numbers, len(fields), e.Detection); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return e, nil
}

// parseNumbers returns the numbers at the beginning of a list.
func parseNumbers(fields []string) (numbers []float64) {
	for _, field := range fields {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || v-v != 0 {
			return numbers
		}
		numbers = append(numbers, v)
	}
	return numbers
}

func (a *Answer) addLine(line string, numbers []float64, fields int, boxes bool) error {
	if !boxes {
		confidence, name, _ := strings.Cut(line, " ")
		if name = strings.TrimSpace(name); name == "" || len(numbers) == 0 {
			return fmt.Errorf("%.80q is neither \"class cx cy w h\" with numbers nor \"confidence name\"", line)
		}
		score, err := probability(numbers[0])
		if err != nil {
			return fmt.Errorf("%s: %w", confidence, err)
		}
		a.Classes = append(a.Classes, Class{Number: -1, Label: name, Score: score})
		return nil
	}
	switch {
	case len(numbers) != fields:
		return fmt.Errorf("%.80q is not a list of numbers", line)
	case fields < 5 || fields > 7:
		return fmt.Errorf("has %d numbers; want 5 to 7 (class cx cy w h, confidence, track): text files of masks, keypoints and "+
			"oriented boxes are not compared", fields)
	}
	class, err := wholeNumber(numbers[0])
	if err != nil {
		return err
	}
	score := unknown
	if fields > 5 {
		if score, err = probability(numbers[5]); err != nil {
			return err
		}
	}
	x, y, w, h := numbers[1], numbers[2], numbers[3]/2, numbers[4]/2
	a.Boxes = append(a.Boxes, Box{Class{class, "", score}, x - w, y - h, x + w, y + h})
	return nil
}

func probability(v float64) (float64, error) {
	if !(v >= 0 && v <= 1+1e-6) {
		return 0, fmt.Errorf("the score %v is out of range (0–1)", v)
	}
	return min(v, 1), nil
}

const maxClass = 1 << 24

func wholeNumber(v float64) (int, error) {
	if v != math.Trunc(v) || v < 0 || v > maxClass {
		return 0, fmt.Errorf("the class %v is not a whole number of at least 0", v)
	}
	return int(v), nil
}

// ultralyticsObject is an element of what Ultralytics' Results.to_json gives for an image. Classifiers have no box.
type ultralyticsObject struct {
	Name       string   `json:"name"`
	Class      *float64 `json:"class"`
	Confidence *float64 `json:"confidence"`
	Box        *struct {
		X1, Y1, X2, Y2 float64
		X3             *float64
	} `json:"box"`
}

func (o *ultralyticsObject) add(a *Answer) error {
	c := Class{Number: -1, Label: o.Name, Score: unknown}
	var err error
	if o.Class != nil {
		if c.Number, err = wholeNumber(*o.Class); err != nil {
			return err
		}
	}
	if o.Confidence != nil {
		if c.Score, err = probability(*o.Confidence); err != nil {
			return err
		}
	}
	switch {
	case c.Number < 0 && c.Label == "":
		return fmt.Errorf("an object has neither class nor name")
	case o.Box == nil:
		a.Classes = append(a.Classes, c)
		return nil
	case o.Box.X3 != nil:
		return fmt.Errorf("oriented boxes are not compared")
	}
	a.Boxes = append(a.Boxes, Box{c, o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2})
	return nil
}

// inUnits reports whether no corner reaches beyond 1, as after to_json(normalize=True).
func inUnits(boxes []Box) bool {
	for _, b := range boxes {
		if max(b.X1, b.Y1, b.X2, b.Y2) > 1.001 {
			return false
		}
	}
	return len(boxes) > 0
}
