package peers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// contender is a model of the comparison.
type contender struct {
	key   string // in the names of cells
	model string // folder below models/
	title string
	at    string            // where an answer for one image holds the class
	want  map[string]string // classes by image: those of which the model is sure at all sizes
	first string            // the image of the first answer, whose class is in want
}

var contenders = []contender{
	{"classifier", "efficientnet-lite0", "The default classifier, EfficientNet-Lite0", "top.0.class",
		map[string]string{"coffee.jpg": "967", "rocket.jpg": "657"}, "coffee.jpg"},
	{"mobilenet", "mobilenetv2-12-int8", "MobileNetV2 int8", "top.0.class",
		map[string]string{"chelsea.jpg": "285"}, "chelsea.jpg"},
	{"yolox", "yolox-nano", "YOLOX-nano", "boxes.*.class",
		map[string]string{"astronaut.jpg": "0", "chelsea.jpg": "15", "coffee.jpg": "41"}, "coffee.jpg"},
}

// sizes are the folders of images that servers/images.py makes, and what they hold.
var sizes = []struct{ key, title string }{
	{"small", "250×200"}, {"hd", "1280×720"}, {"12mp", "4000×3000"},
}

// cell is a model with images of one size: what is measured in one go.
type cell struct {
	contender
	size  string
	title string // of the size
}

func (c cell) name() string { return c.key + "/" + c.size }

// cells are all cells, the most important first.
func cells() []cell {
	var list []cell
	for _, c := range contenders {
		for _, s := range sizes {
			list = append(list, cell{c, s.key, s.title})
		}
	}
	return list
}

// selectCells gives the cells that patterns name, such as "classifier/small" or "yolox/*", with commas between; all for
// an empty text.
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
			return nil, fmt.Errorf("only: %q names no cell; there are %s", pattern, strings.Join(names(cells()), ", "))
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
