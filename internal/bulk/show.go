package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/terminal"
)

// Sizes of the table in columns, and in lines of an image.
const (
	defaultWidth = 100
	barWidth     = 12
	labelWidth   = 24
	scoreWidth   = 6
	minWithBars  = 70
	linesOfMany  = 8  // of several images
	linesOfOne   = 50 // of a single one
)

// show is a table for people.
type show struct {
	w         io.Writer
	paint     terminal.Paint
	terminal  bool
	width     int
	nameWidth int
	lines     int
	begun     bool
}

// NewTable returns a sink that writes a table of the images' classes, objects or whatever is predicted, for people. On a terminal it
// keeps to the width, and scores have bars.
func NewTable(w io.Writer, inputs []Input) Sink {
	s := &show{w: w, paint: terminal.PaintOf(w), terminal: terminal.Is(w), width: terminal.Width(w), lines: linesOfMany}
	if s.width <= 0 {
		s.width = defaultWidth
	}
	if len(inputs) == 1 {
		s.lines = linesOfOne
	}
	for _, in := range inputs {
		s.nameWidth = max(s.nameWidth, terminal.Columns(terminal.Clean(in.Name)))
	}
	if s.terminal {
		s.nameWidth = min(s.nameWidth, s.width/3)
	}
	s.nameWidth = max(s.nameWidth, len("IMAGE"))
	return s
}

// bars reports whether scores have bars.
func (s *show) bars() bool { return s.terminal && s.width >= minWithBars }

func (s *show) scoreColumns() int {
	if s.bars() {
		return scoreWidth + 1 + barWidth
	}
	return scoreWidth
}

func (s *show) Write(r Result) error {
	var b bytes.Buffer
	if !s.begun {
		s.begun = true
		head := strings.Join([]string{terminal.Pad("IMAGE", s.nameWidth), terminal.Pad("LABEL", labelWidth), terminal.Pad("SCORE", s.scoreColumns()), "DETAILS"}, "  ")
		b.WriteString(s.paint.In(terminal.Bold, head) + "\n")
	}
	name := terminal.Clean(r.Image)
	if s.terminal {
		name = terminal.CutStart(name, s.nameWidth)
	}
	s.result(&b, terminal.Pad(name, s.nameWidth)+"  ", r)
	_, err := s.w.Write(b.Bytes())
	return err
}

func (s *show) Close() error { return nil }

// result writes the lines of an image, the first after its name.
func (s *show) result(b *bytes.Buffer, name string, r Result) {
	room := max(20, s.width-terminal.Columns(name))
	if r.Err != nil {
		s.line(b, name, s.paint.In(terminal.Red, s.cut("error: "+r.Err.Error(), room)))
		return
	}
	of, err := contentOf(r.Answer.JSON)
	if err != nil {
		s.line(b, name, s.paint.In(terminal.Red, err.Error()))
		return
	}
	if len(of.rows) == 0 {
		s.line(b, name, s.paint.In(terminal.Dim, "nothing found"))
		return
	}
	for i, row := range of.rows {
		if i == s.lines && len(of.rows) > s.lines+1 {
			s.line(b, name, s.paint.In(terminal.Dim, fmt.Sprintf("… and %d more", len(of.rows)-i)))
			return
		}
		s.line(b, name, s.row(row, room))
		name = strings.Repeat(" ", s.nameWidth+2)
	}
}

func (s *show) line(b *bytes.Buffer, name, text string) {
	b.WriteString(strings.TrimRight(name+text, " ") + "\n")
}

func (s *show) cut(text string, columns int) string {
	if text = terminal.Clean(text); s.terminal {
		return terminal.Cut(text, columns)
	}
	return text
}

// row is a line: the label, the score and what else there is.
func (s *show) row(o object, room int) string {
	var line strings.Builder
	line.WriteString(terminal.Pad(s.cut(o.label(), labelWidth), labelWidth) + "  ")
	score, found := o.number("score")
	if !found {
		score, found = o.number("share")
	}
	text := ""
	if found {
		text = fmt.Sprintf("%.4f", score)
		if s.bars() {
			text = s.paint.In(terminal.Cyan, terminal.Bar(score, barWidth)) + " " + text
		}
	}
	pad := s.scoreColumns() - scoreWidth
	if found {
		pad = 0
	} else {
		pad += scoreWidth
	}
	line.WriteString(text + strings.Repeat(" ", pad) + "  ")
	left := room - labelWidth - s.scoreColumns() - 4
	line.WriteString(s.cut(details(o), max(left, 10)))
	return line.String()
}

// shown are the fields that the label, the score and the box stand for, and the size of the image. Of a rotated box, its sides and its
// angle are enough.
var shown = []string{"label", "text", "name", "class", "score", "share", "x1", "y1", "x2", "y2", "width", "height",
	"corners", "cx", "cy"}

// details are what a row has besides its label and its score, in short.
func details(o object) string {
	var parts []string
	if b, ok := boxOf(o); ok {
		parts = append(parts, fmt.Sprintf("x %.0f–%.0f, y %.0f–%.0f", b.x1, b.x2, b.y1, b.y2))
	}
	label := o.label()
	for _, f := range o {
		if slices.Contains(shown, f.name) && (f.name != "text" || o.text("text") == label) {
			continue
		}
		if text := short(f); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "; ")
}

// maxNumbers is how many numbers of a list are shown.
const maxNumbers = 4

// short is a field in a few words.
func short(f field) string {
	switch kind(f.value) {
	case '[':
		var list []json.RawMessage
		_ = json.Unmarshal(f.value, &list) // it is part of JSON that was parsed
		if len(list) == 0 || kind(list[0]) == '{' || kind(list[0]) == '[' {
			return fmt.Sprintf("%d %s", len(list), f.name)
		}
		var first []string
		for _, one := range list[:min(len(list), maxNumbers)] {
			first = append(first, shortNumber(one))
		}
		if len(list) > maxNumbers {
			first = append(first, "…")
		}
		return fmt.Sprintf("%s of %d: %s", f.name, len(list), strings.Join(first, " "))
	case '{':
		o, err := parse(f.value)
		if err != nil {
			return ""
		}
		w, hasW := o.number("width")
		h, hasH := o.number("height")
		if hasW && hasH {
			return fmt.Sprintf("%s of %.0f × %.0f", f.name, w, h)
		}
		return f.name
	case '"':
		return f.name + " " + cellText(f.value)
	case 'n':
		return ""
	}
	return f.name + " " + shortNumber(f.value)
}

// shortNumber rounds a number to four digits; anything else stays.
func shortNumber(raw json.RawMessage) string {
	var v float64
	if json.Unmarshal(raw, &v) != nil {
		return cellText(raw)
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

func isAPI(err error) bool {
	_, ok := errors.AsType[*apierror.Error](err)
	return ok
}
