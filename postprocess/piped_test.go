package postprocess

import (
	"encoding/json"
	"reflect"
	"testing"
)

func piped(results ...StepResult) *Piped { return &Piped{Steps: results} }

func classified(label string, score float64) *Classified {
	return &Classified{Top: []Class{{Class: 1, Label: label, Score: score}}}
}

// threeOfEach are three objects of each task, whose labels are their numbers.
func threeOfEach() map[string]Objects {
	box := func(label string) Box { return Box{Label: label, X2: 1, Y2: 1} }
	frame := Frame{Width: 5, Height: 4}
	d, o, s, p := &Detected{Width: 5, Height: 4}, &Oriented{Frame: frame}, &Segmented{Frame: frame}, &Posed{Frame: frame}
	for _, label := range []string{"0", "1", "2"} {
		d.Boxes = append(d.Boxes, box(label))
		o.Boxes = append(o.Boxes, OrientedBox{Box: box(label), Corners: [4][2]float64{{float64(len(o.Boxes)), 0}}})
		s.Boxes = append(s.Boxes, Instance{Box: box(label), Mask: &Mask{Width: 5, Height: 4, Runs: []uint32{20}}})
		p.Boxes = append(p.Boxes, PosedBox{Box: box(label)})
	}
	l := &TextLines{Lines: []TextLine{{Text: "0"}, {Text: "1"}, {Text: "2"}}, Frame: frame}
	return map[string]Objects{"detection": d, "oriented": o, "segmented": s, "posed": p, "lines": l}
}

func TestPipedObjectsHaveTheResultsOfTheirSteps(t *testing.T) {
	for name, objects := range threeOfEach() {
		t.Run(name, func(t *testing.T) {
			s := StepResult{Name: "find", Prediction: objects, Objects: []*Piped{piped(StepResult{Name: "what", Prediction: classified("a", 0.5)}), nil, piped()}}
			data, err := json.Marshal(piped(s, StepResult{Name: "whole", Prediction: classified("b", 1)}))
			if err != nil {
				t.Fatal(err)
			}
			type object struct {
				Label, Text string
				What        *Classified
			}
			var got struct {
				Find struct {
					Boxes, Lines  []object
					Width, Height int
				}
				Whole Classified
			}
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%v in %s", err, data)
			}
			f := got.Find
			for _, line := range f.Lines {
				f.Boxes = append(f.Boxes, object{line.Text, "", line.What})
			}
			if len(f.Boxes) != 3 || f.Boxes[0].Label != "0" || f.Boxes[0].What == nil || f.Boxes[0].What.Top[0].Label != "a" || f.Boxes[1].What != nil || f.Boxes[2].Label != "2" ||
				f.Width != 5 || f.Height != 4 || got.Whole.Top[0].Label != "b" {
				t.Errorf("%s", data)
			}
		})
	}
}

func TestKeepRemovesObjectsWithTheirResults(t *testing.T) {
	for name, objects := range threeOfEach() {
		results := []*Piped{piped(), nil, piped(StepResult{Name: "x"})}
		s := StepResult{Prediction: objects, Objects: append([]*Piped{}, results...)}
		s.Keep([]bool{false, true, true})
		if objects.Len() != 2 || objects.Box(0).Label != "1" || objects.Box(1).Label != "2" || !reflect.DeepEqual(s.Objects, results[1:]) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestWithLabelsCopies(t *testing.T) {
	for name, objects := range threeOfEach() {
		out := WithLabels(objects, func(i int, label string) string { return label + "x" }).(Objects)
		if out.Len() != 3 || out.Box(2).Label != "2x" || objects.Box(2).Label != "2" {
			t.Errorf("%s: %v and %v", name, out.Box(2), objects.Box(2))
		}
	}
	if c := classified("a", 1); WithLabels(c, nil) != Prediction(c) {
		t.Error("a prediction without objects has changed")
	}
}

func TestWordsAndScores(t *testing.T) {
	for name, test := range map[string]struct {
		p     Prediction
		word  string
		score float64
		ok    bool
	}{
		"a class":           {classified("cat", 0.25), "cat", 0.25, true},
		"one without label": {classified("", 0.5), "1", 0.5, true},
		"no class":          {&Classified{}, "", 0, false},
		"text":              {&Recognized{Text: "abc", Score: 0.75}, "abc", 0.75, true},
		"no text":           {&Recognized{}, "", 0, true},
		"a vector":          {&Embedded{}, "", 0, false},
	} {
		score, ok := Score(test.p)
		if word := Word(test.p); word != test.word || score != test.score || ok != test.ok {
			t.Errorf("%s: %q, %v, %v", name, word, score, ok)
		}
	}
}
