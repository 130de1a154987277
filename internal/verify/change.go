package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// Line is a key of model.yaml and its value in YAML.
type Line struct {
	Key   string `json:"key"` // dotted, such as input.color
	Value string `json:"value"`
}

// Change is an alternative to one setting of a definition. A setting may take several keys.
type Change struct {
	Lines  []Line   `json:"set"`
	Remove []string `json:"remove,omitempty"` // keys that no longer apply
	apply  func(*repository.Definition)
}

// Key returns the key that the change is about.
func (c *Change) Key() string { return c.Lines[0].Key }

// String lists the keys and values on one line.
func (c *Change) String() string {
	texts := make([]string, len(c.Lines))
	for i, l := range c.Lines {
		texts[i] = l.Key + ": " + l.Value
	}
	return strings.Join(texts, ", ")
}

// with joins two changes, of which the second wins.
func (c *Change) with(other *Change) *Change {
	set := func(key string) bool {
		return slices.ContainsFunc(other.Lines, func(l Line) bool { return l.Key == key })
	}
	both := &Change{apply: func(d *repository.Definition) { c.apply(d); other.apply(d) }}
	for _, l := range c.Lines {
		if !set(l.Key) && !slices.Contains(other.Remove, l.Key) {
			both.Lines = append(both.Lines, l)
		}
	}
	both.Lines = append(both.Lines, other.Lines...)
	both.Remove = slices.DeleteFunc(slices.Clone(c.Remove), set)
	for _, key := range other.Remove {
		if !slices.Contains(both.Remove, key) {
			both.Remove = append(both.Remove, key)
		}
	}
	return both
}

// YAML is the text to write in model.yaml, with the keys of a section together.
func (c *Change) YAML() string {
	var b strings.Builder
	section := ""
	lines := slices.Clone(c.Lines)
	slices.SortStableFunc(lines, func(x, y Line) int {
		return strings.Compare(strings.SplitN(x.Key, ".", 2)[0], strings.SplitN(y.Key, ".", 2)[0])
	})
	for _, l := range lines {
		parent, key, nested := strings.Cut(l.Key, ".")
		if !nested {
			fmt.Fprintf(&b, "%s: %s\n", parent, l.Value)
			continue
		}
		if parent != section {
			fmt.Fprintf(&b, "%s:\n", parent)
			section = parent
		}
		fmt.Fprintf(&b, "  %s: %s\n", key, l.Value)
	}
	return b.String()
}

// changes collects alternatives that differ from a definition.
type changes struct {
	def  repository.Definition
	list []*Change
}

// Changes lists the alternatives to the settings of a resolved definition that a model's file does not tell: those of its
// preprocessing and decoding. Some may not fit the model.
func Changes(d repository.Definition) []*Change {
	c := &changes{def: d}
	c.resize()
	c.colors()
	c.numbers()
	c.interpolation()
	if d.Task == repository.Classification {
		c.classification()
	} else {
		c.detection()
	}
	return c.list
}

// add adds an alternative that sets a key.
func (c *changes) add(key, value string, apply func(*repository.Definition)) {
	c.list = append(c.list, &Change{Lines: []Line{{key, value}}, apply: apply})
}

// choices adds the values of a key other than the current one.
func (c *changes) choices(key, now string, values []string, set func(d *repository.Definition, value string)) {
	for _, v := range values {
		if v != now {
			c.add(key, v, func(d *repository.Definition) { set(d, v) })
		}
	}
}

// geometry is a setting of how the image is placed in the input.
type geometry struct {
	resize   repository.Resize
	place    string
	fill     float64
	shortest int
}

func (c *changes) resize() {
	in := c.def.Input
	if in.Dynamic() { // its size in the model depends on the image
		c.rounding()
		return
	}
	list := []geometry{{resize: repository.Stretch}}
	for _, place := range []string{"center", "top_left"} {
		for _, fill := range []float64{114, 0, 127.5} {
			list = append(list, geometry{repository.Letterbox, place, fill, 0})
		}
	}
	side := max(in.Width, in.Height)
	for _, part := range []float64{1, 0.95, 0.9, 0.875} { // of the image that is kept, timm's crop_pct
		list = append(list, geometry{resize: repository.ShortestEdge, shortest: int(float64(side) / part)})
	}
	for _, g := range list {
		if g.of(in) != g || in.ResizeWidth != 0 {
			c.list = append(c.list, g.change(in))
		}
	}
	c.rounding()
}

// of returns the setting of an input, with what does not apply left out.
func (g geometry) of(in repository.Input) geometry {
	now := geometry{resize: in.Resize, place: in.Place, shortest: in.ShortestEdge}
	if len(in.Fill) > 0 {
		now.fill = in.Fill[0]
	}
	return now
}

// change is the change to g: of one key where that is enough.
func (g geometry) change(in repository.Input) *Change {
	now := g.of(in)
	change := &Change{apply: func(d *repository.Definition) {
		in := &d.Input
		if in.Resize != g.resize || in.Place != g.place {
			in.Rounding, in.Inverse = "", ""
		}
		in.ResizeWidth, in.ResizeHeight, in.CropOffset = 0, 0, ""
		in.Resize, in.Place, in.ShortestEdge, in.LongestEdge, in.Stride, in.Fill = g.resize, g.place, g.shortest, 0, 0, nil
		if g.resize == repository.Letterbox {
			in.Fill = []float64{g.fill}
		}
		*in = in.WithDefaults()
	}}
	set := func(key, value string, differs bool) {
		if differs {
			change.Lines = append(change.Lines, Line{"input." + key, value})
		}
	}
	set("resize", string(g.resize), now.resize != g.resize)
	set("shortest_edge", strconv.Itoa(g.shortest), g.shortest != 0 && now.shortest != g.shortest)
	set("place", g.place, g.place != "" && now.place != g.place)
	set("fill", "["+number(g.fill)+"]", g.resize == repository.Letterbox && (now.resize != g.resize || now.fill != g.fill))
	for key, gone := range map[string]bool{"shortest_edge": now.shortest != 0 && g.shortest == 0, "place": now.place != "" && g.place == "",
		"fill": len(in.Fill) > 0 && g.resize != repository.Letterbox, "rounding": in.Rounding != "" && g.resize == repository.Stretch,
		"inverse": in.Inverse != "" && (now.resize != g.resize || now.place != g.place), "crop_offset": in.CropOffset != "",
		"resize_width": in.ResizeWidth != 0, "resize_height": in.ResizeHeight != 0} {
		if gone {
			change.Remove = append(change.Remove, "input."+key)
		}
	}
	slices.Sort(change.Remove)
	return change
}

func (c *changes) rounding() {
	in := c.def.Input
	if in.Rounding == "" {
		return
	}
	c.choices("input.rounding", in.Rounding, []string{repository.RoundFloor, repository.RoundNearest, repository.RoundHalfUp, repository.RoundCeil},
		func(d *repository.Definition, v string) { d.Input.Rounding = v })
}

// colors swaps red and blue, and the order of mean and std.
func (c *changes) colors() {
	in := c.def.Input
	other := map[string]string{repository.ColorRGB: repository.ColorBGR, repository.ColorBGR: repository.ColorRGB,
		repository.ColorRGBA: repository.ColorBGRA, repository.ColorBGRA: repository.ColorRGBA}[in.Color]
	if other == "" {
		return
	}
	c.add("input.color", other, func(d *repository.Definition) { d.Input.Color = other })
	if len(in.Mean) != 3 && len(in.Std) != 3 {
		return
	}
	mean, std := reversed(in.Mean), reversed(in.Std)
	turn := func(d *repository.Definition) { d.Input.Mean, d.Input.Std = mean, std }
	lines := []Line{{"input.mean", list(mean)}, {"input.std", list(std)}}
	c.list = append(c.list, &Change{Lines: lines, apply: turn}, &Change{Lines: append([]Line{{"input.color", other}}, lines...),
		apply: func(d *repository.Definition) { turn(d); d.Input.Color = other }})
}

func reversed(values []float64) []float64 {
	out := slices.Clone(values)
	if len(out) == 3 {
		slices.Reverse(out)
	}
	return out
}

// normalization is a usual setting of scale, mean and std, for channels in the order red, green, blue.
type normalization struct {
	scale     float64
	mean, std []float64
}

// normalizations are those of the large families of models: pixels as they are; 0 to 1; ImageNet's mean and deviation
// (torchvision, timm, Hugging Face); −1 to 1 (Inception, MobileNet of Keras); OpenAI's CLIP; the means of Caffe's models;
// and (v − 127)/128.
var normalizations = []normalization{
	{1, []float64{0}, []float64{1}},
	{1.0 / 255, []float64{0}, []float64{1}},
	{1.0 / 255, []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}},
	{1.0 / 255, []float64{0.5}, []float64{0.5}},
	{1.0 / 255, []float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}},
	{1, []float64{123.68, 116.779, 103.939}, []float64{1}},
	{1, []float64{127}, []float64{128}},
}

// numbers changes scale, mean and std, each alone and all to a usual setting.
func (c *changes) numbers() {
	in := c.def.Input
	if in.DType == repository.Uint8 {
		return
	}
	for _, scale := range []float64{1, 1.0 / 255} {
		if !near(scale, in.Scale) {
			c.add("input.scale", number(scale), func(d *repository.Definition) { d.Input.Scale = scale })
		}
	}
	for _, n := range normalizations {
		mean, std := n.mean, n.std
		if in.Color == repository.ColorBGR || in.Color == repository.ColorBGRA {
			mean, std = reversed(mean), reversed(std)
		}
		if in.Color != repository.ColorRGB && in.Color != repository.ColorBGR && len(n.mean) > 1 {
			continue // for three channels
		}
		change := &Change{apply: func(d *repository.Definition) { d.Input.Scale, d.Input.Mean, d.Input.Std = n.scale, mean, std }}
		sameScale, sameMean, sameStd := near(n.scale, in.Scale), equal(mean, in.Mean), equal(std, in.Std)
		for _, l := range []struct {
			same  bool
			key   string
			value string
		}{{sameScale, "scale", number(n.scale)}, {sameMean, "mean", list(mean)}, {sameStd, "std", list(std)}} {
			if !l.same {
				change.Lines = append(change.Lines, Line{"input." + l.key, l.value})
			}
		}
		if len(change.Lines) > 0 && !(sameMean && sameStd) {
			c.list = append(c.list, change)
		}
	}
}

func near(a, b float64) bool { return a > 0.99*b && a < 1.01*b }

// equal compares values per channel; one value stands for all channels.
func equal(a, b []float64) bool {
	for i := range max(len(a), len(b)) {
		if x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]; x != y {
			return false
		}
	}
	return true
}

func (c *changes) interpolation() {
	in := c.def.Input
	c.choices("input.interpolation", in.Interpolation, repository.Interpolations(), func(d *repository.Definition, v string) { d.Input.Interpolation = v })
	c.choices("input.decode", in.Decode, []string{repository.DecodeExact, repository.DecodeFast},
		func(d *repository.Definition, v string) { d.Input.Decode = v })
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func list(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = number(v)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
