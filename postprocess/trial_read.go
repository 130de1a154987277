package postprocess

import (
	"fmt"
	"slices"

	"fovea/internal/repository"
)

func (c *classifier) trialCheck() TrialCheck {
	kind := probabilities
	if c.softmax || c.sigmoid {
		kind = sigmoidLogits
	}
	return &trialCheck{aspects: []aspect{&classesCheck{c: c},
		&inputCheck{in: &c.def.Input, kind: kind, logits: kind != probabilities, dense: true}, &sameCheck{output: c.scores.name}},
		read: func(s *scratch, outputs []Tensor) (trialRow, error) {
			values, _, err := c.scores.floatsOf(&s.floats, outputs)
			return trialRow{scores: values, perBox: len(values)}, err
		}}
}

func (y *yolox) trialCheck() TrialCheck {
	return &trialCheck{aspects: []aspect{
		&boxScoresCheck{def: &y.def, key: "output.name", output: y.grid.name, all: true}, &gridCheck{y: y}, &inputCheck{in: &y.def.Input, dense: true}, &sameCheck{output: y.grid.name}},
		read: func(s *scratch, outputs []Tensor) (trialRow, error) {
			values, _, err := y.grid.floatsOf(&s.floats, outputs)
			if err == nil && len(values)%y.width != 0 {
				err = unusable(fmt.Errorf("%d values", len(values)))
			}
			row := trialRow{grid: values, perBox: y.width - repository.YOLOXHead - y.def.Output.ClassFirst}
			row.objectness, row.scores = s.columns[:0], s.more[:0]
			for ; err == nil && len(values) > 0; values = values[y.width:] {
				row.objectness = append(row.objectness, values[4])
				row.scores = append(row.scores, values[y.width-row.perBox:y.width]...)
			}
			s.columns, s.more = row.objectness, row.scores
			return row, err
		}}
}

func (y *yolo) trialCheck() TrialCheck {
	kind := probabilities
	if y.logits {
		kind = sigmoidLogits
	}
	boxes := newBoxesCheck(&y.def, "output.box_format", y.table.name, true)
	return &trialCheck{kind: kind, read: y.trialRow, aspects: []aspect{
		&boxScoresCheck{def: &y.def, kind: kind, key: "output.activation", output: y.table.name, all: true},
		boxes, &directionsCheck{boxesCheck: boxes}, &inputCheck{in: &y.def.Input, kind: kind, cells: true}, &sameCheck{output: y.table.name}}}
}

// trialRow splits the table into boxes, objectness and scores.
func (y *yolo) trialRow(s *scratch, outputs []Tensor) (trialRow, error) {
	values, _, err := y.table.floatsOf(&s.floats, outputs)
	n := len(values) / y.width
	if err != nil || len(values) != n*y.width {
		return trialRow{}, unusable(fmt.Errorf("%d values: %w", len(values), err))
	}
	first := y.head + y.def.Output.ClassFirst
	row := trialRow{perBox: y.end - first, boxes: s.rows[:0], scores: s.more[:0], objectness: s.columns[:0]}
	at := func(box, number int) float32 {
		if y.turned {
			return values[number*n+box]
		}
		return values[box*y.width+number]
	}
	for box := range n {
		row.boxes = append(row.boxes, at(box, 0), at(box, 1), at(box, 2), at(box, 3))
		if y.head > 4 {
			row.objectness = append(row.objectness, at(box, 4))
		}
		for number := first; number < y.end; number++ {
			row.scores = append(row.scores, at(box, number))
		}
	}
	s.rows, s.more, s.columns = row.boxes, row.scores, row.objectness
	if y.head == 4 {
		row.objectness = nil
	}
	return row, nil
}

func (y *yolov5Raw) trialCheck() TrialCheck {
	kind := probabilities
	if y.logits {
		kind = sigmoidLogits
	}
	output := y.grids[0].name
	return &trialCheck{kind: kind, read: y.trialRow, aspects: []aspect{
		&boxScoresCheck{def: &y.def, kind: kind, key: "output.activation", output: output, all: true},
		&inputCheck{in: &y.def.Input, kind: kind, dense: true}, &sameCheck{output: output}}}
}

// trialRow takes all numbers of the grids as scores, as all go through the sigmoid.
func (y *yolov5Raw) trialRow(s *scratch, outputs []Tensor) (trialRow, error) {
	row := trialRow{scores: s.more[:0], perBox: 1}
	for i := range y.grids {
		values, _, err := y.grids[i].floatsOf(&s.floats, outputs)
		if err != nil {
			return trialRow{}, err
		}
		row.scores = append(row.scores, values...)
	}
	s.more = row.scores
	return row, nil
}

func (r *rows) trialCheck() TrialCheck {
	format, order := r.rawOrder()
	def := r.def
	def.Output.BoxFormat = format
	key, output := "output.columns", r.table.name
	if r.hasNumbers {
		key, output = "output.classes", r.numbers.name
	}
	boxes := newBoxesCheck(&def, "output.columns", r.table.name, false)
	return &trialCheck{aspects: []aspect{
		&boxScoresCheck{def: &def, key: "output.columns", output: r.table.name, padded: true},
		&labelsCheck{def: &def, key: key, output: output}, boxes, &directionsCheck{boxesCheck: boxes}, &inputCheck{in: &def.Input}, &sameCheck{output: r.table.name}},
		read: func(s *scratch, outputs []Tensor) (trialRow, error) { return r.trialRow(s, outputs, order) }}
}

// rawOrder returns the four columns of a box in the order of the table, and the format of their numbers in that order.
func (r *rows) rawOrder() (format string, order [4]int) {
	order = r.box
	slices.Sort(order[:])
	var names []string
	for _, at := range order {
		names = append(names, r.def.Output.Columns[at])
	}
	for format, columns := range rawColumns {
		if slices.Equal(columns, names) {
			return format, order
		}
	}
	return r.def.Output.BoxFormat, r.box
}

func (r *rows) trialRow(s *scratch, outputs []Tensor, order [4]int) (trialRow, error) {
	values, _, err := r.table.floatsOf(&s.floats, outputs)
	width := r.width
	n := len(values) / width
	if err != nil || len(values) != n*width {
		return trialRow{}, unusable(fmt.Errorf("%d values: %w", len(values), err))
	}
	row := trialRow{perBox: 1, boxes: s.rows[:0], scores: s.more[:0]}
	for at := 0; at < len(values); at += width {
		row.boxes = append(row.boxes, values[at+order[0]], values[at+order[1]], values[at+order[2]], values[at+order[3]])
		row.scores = append(row.scores, values[at+r.score])
	}
	s.rows, s.more = row.boxes, row.scores
	switch {
	case r.hasNumbers:
		numbers, err := r.numbers.read(outputs)
		if err != nil || elements(numbers.Shape) != int64(n) {
			return trialRow{}, unusable(fmt.Errorf("%d classes for %d boxes: %w", elements(numbers.Shape), n, err))
		}
		row.class = numbers.integer
	case r.class >= 0:
		row.class = func(i int) (int64, bool) { return integerOf(float64(values[i*width+r.class])) }
	}
	return row, nil
}

func (d *detr) trialCheck() TrialCheck {
	kind := sigmoidLogits
	if d.softmax {
		kind = softmaxLogits
	}
	boxes := newBoxesCheck(&d.def, "output.boxes", d.boxes.name, true)
	return &trialCheck{kind: kind, aspects: []aspect{
		&boxScoresCheck{def: &d.def, kind: kind, key: "output.scores", output: d.logits.name, all: true},
		boxes, &directionsCheck{boxesCheck: boxes}, &inputCheck{in: &d.def.Input, kind: kind, cells: true}, &sameCheck{output: d.logits.name}},
		read: func(s *scratch, outputs []Tensor) (trialRow, error) {
			box, logits, err := d.read(s, outputs)
			return trialRow{boxes: box, scores: logits, perBox: d.width}, err
		}}
}

func (b *boxes) trialCheck() TrialCheck {
	boxes := newBoxesCheck(&b.def, "output.boxes", b.boxes.name, false)
	return &trialCheck{aspects: []aspect{
		&boxScoresCheck{def: &b.def, key: "output.scores", output: b.scores.name, all: b.perBox > 1},
		&labelsCheck{def: &b.def, key: "output.classes", output: b.numbers.name}, boxes, &directionsCheck{boxesCheck: boxes},
		&inputCheck{in: &b.def.Input, dense: b.perBox > 1}, &sameCheck{output: b.scores.name}},
		read: b.trialRow}
}

// trialRow leaves out the scores of background classes.
func (b *boxes) trialRow(s *scratch, outputs []Tensor) (trialRow, error) {
	boxes, scores, classes, err := b.read(s, outputs)
	if err != nil {
		return trialRow{}, err
	}
	background := b.background()
	row := trialRow{boxes: boxes, scores: scores, perBox: b.perBox - background}
	if background > 0 {
		row.scores = s.columns[:0]
		for at := 0; at < len(scores); at += b.perBox {
			row.scores = append(row.scores, scores[at+background:at+b.perBox]...)
		}
		s.columns = row.scores
	}
	if classes != nil {
		row.class = classes.integer
	}
	return row, nil
}
