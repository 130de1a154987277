package peers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// benchModel is a model of the comparison.
type benchModel struct {
	key   string // in the names of cells
	model string // folder below models/
	title string
	at    string            // path of the class in a prediction
	want  map[string]string // classes by image, for those that the model recognizes at every size
	first string            // the image of the first request; its class is in want
}

var benchModels = []benchModel{
	{"classifier", "efficientnet-lite0", "The default classifier, EfficientNet-Lite0", "top.0.class",
		map[string]string{"coffee.jpg": "967", "rocket.jpg": "657"}, "coffee.jpg"},
	{"mobilenet", "mobilenetv2-12-int8", "MobileNetV2 int8", "top.0.class",
		map[string]string{"chelsea.jpg": "285"}, "chelsea.jpg"},
	{"yolox", "yolox-nano", "YOLOX-nano", "boxes.*.class",
		map[string]string{"astronaut.jpg": "0", "chelsea.jpg": "15", "coffee.jpg": "41"}, "coffee.jpg"},
}

// sizes are the folders of images that servers/images.py creates.
var sizes = []struct{ key, title string }{
	{"small", "250×200"}, {"hd", "1280×720"}, {"12mp", "4000×3000"},
}

// cell is one model with images of one size.
type cell struct {
	benchModel
	size  string
	title string // of the size
}

func (c cell) name() string { return c.key + "/" + c.size }

// cells lists all cells, the most important first.
func cells() []cell {
	var list []cell
	for _, c := range benchModels {
		for _, s := range sizes {
			list = append(list, cell{c, s.key, s.title})
		}
	}
	return list
}

// selectCells returns the cells that match comma-separated patterns, such as "classifier/small" or "yolox/*"; all if
// patterns is empty.
func selectCells(patterns string) ([]cell, error) {
	if patterns == "" {
		return cells(), nil
	}
	var chosen []cell
	for pattern := range strings.SplitSeq(patterns, ",") {
		matches := 0
		for _, c := range cells() {
			ok, err := path.Match(pattern, c.name())
			if err != nil {
				return nil, fmt.Errorf("only: %q: %w", pattern, err)
			}
			if !ok {
				continue
			}
			matches++
			if !slices.ContainsFunc(chosen, func(o cell) bool { return o.name() == c.name() }) {
				chosen = append(chosen, c)
			}
		}
		if matches == 0 {
			return nil, fmt.Errorf("only: %q matches no cell; available: %s", pattern, strings.Join(names(cells()), ", "))
		}
	}
	return chosen, nil
}

func names(list []cell) []string {
	var all []string
	for _, c := range list {
		all = append(all, c.name())
	}
	return all
}
