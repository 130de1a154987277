package peers

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"fovea/loadtest"
)

// benchModel is a model of the comparison.
type benchModel struct {
	key   string // in the names of cells
	model string // folder below models/
	title string
	at    string            // path of the class in a prediction
	want  map[string]string // classes by image, for those that the model recognizes at every size
	first string            // the image of the first request; its class is in want
	exact bool              // sums of int8 products are exact in all servers
}

var benchModels = []benchModel{
	{"classifier", "efficientnet-lite0", "The default classifier, EfficientNet-Lite0", "top.0.class",
		map[string]string{"coffee.jpg": "967"}, "coffee.jpg", false},
	{"mobilenet", "mobilenetv2-12-int8", "MobileNetV2 int8, sums may saturate", "top.0.class",
		map[string]string{"chelsea.jpg": "285"}, "chelsea.jpg", false},
	{"mobilenet-exact", "mobilenetv2-12-int8", "MobileNetV2 int8, exact sums", "top.0.class",
		map[string]string{"chelsea.jpg": "285"}, "chelsea.jpg", true},
	{"yolox", "yolox-nano", "YOLOX-nano", "boxes.*.class",
		map[string]string{"astronaut.jpg": "0", "chelsea.jpg": "15", "coffee.jpg": "41"}, "coffee.jpg", false},
}

// sizes are the folders of images that servers/images.py creates.
var sizes = []struct{ key, title string }{
	{"small", "250×200"}, {"hd", "1280×720"}, {"12mp", "4000×3000"},
}

// forms are the forms of request bodies.
var forms = []loadtest.BodyKind{loadtest.Raw, loadtest.Multipart}

// cell is one model with images of one size in bodies of one form.
type cell struct {
	benchModel
	size  string
	title string // of the size
	form  loadtest.BodyKind
}

func (c cell) name() string { return c.key + "/" + c.size + "/" + string(c.form) }

// cells lists all cells, the most important first.
func cells() []cell {
	var list []cell
	for _, c := range benchModels {
		for _, s := range sizes {
			for _, form := range forms {
				list = append(list, cell{c, s.key, s.title, form})
			}
		}
	}
	return list
}

// matches reports whether a pattern, such as "yolox/*/raw", matches the cell. One without a form, such as "*/small", matches both.
func (c cell) matches(pattern string) (bool, error) {
	name := c.name()
	if strings.Count(pattern, "/") == 1 {
		name = c.key + "/" + c.size
	}
	return path.Match(pattern, name)
}

// selectCells returns the cells that match comma-separated patterns; all if patterns is empty.
func selectCells(patterns string) ([]cell, error) {
	if patterns == "" {
		return cells(), nil
	}
	var chosen []cell
	for pattern := range strings.SplitSeq(patterns, ",") {
		found := 0
		for _, c := range cells() {
			ok, err := c.matches(pattern)
			if err != nil {
				return nil, fmt.Errorf("only: %q: %w", pattern, err)
			}
			if !ok {
				continue
			}
			found++
			if !slices.ContainsFunc(chosen, func(o cell) bool { return o.name() == c.name() }) {
				chosen = append(chosen, c)
			}
		}
		if found == 0 {
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
