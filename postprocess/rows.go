package postprocess

import (
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// rows decodes finished boxes whose numbers are the columns of one output, [n,columns], as models have them that end with
// suppression or need none: Ultralytics' [300,6], YOLOv7's [n,7] with the row of the batch, PaddleDetection's [n,6] with the
// class first, mmdeploy's [n,5] with the classes in a separate output. Rows without a positive score, with a negative
// class or of another row of the batch are padding.
type rows struct {
	boxDecoder
	table, numbers    source
	hasNumbers        bool // classes are a separate output
	box               [4]int
	score, class, row int // columns; -1: none
	width             int // columns that are named, and what follows them
}

func newRows(def repository.Definition, outputs []Tensor, x extra) (Decoder, error) {
	o := &def.Output
	table, full, err := pick(outputs, "output.name", o.Name, floatTypes...)
	if err != nil {
		return nil, err
	}
	shape := repository.Squeeze(full, 2)
	if len(shape) == 1 { // the only row was taken for the batch dimension
		shape = []int64{-1, shape[0]}
	}
	width := len(o.Columns) + tailOf(x)
	if len(shape) != 2 || shape[1] != int64(width) && shape[1] >= 0 {
		return nil, fmt.Errorf("output.columns: names %d columns, but rows of %q in model.onnx have the shape %v; want [n,%d]",
			len(o.Columns), table.name, full, width)
	}
	r := &rows{table: table, width: width, hasNumbers: o.Classes != "",
		score: o.Column(repository.ColumnScore), class: o.Column(repository.ColumnClass), row: o.Column(repository.ColumnBatch)}
	def.Output.BoxFormat = o.RowFormat()
	for i, name := range repository.BoxColumns(def.Output.BoxFormat) {
		r.box[i] = o.Column(name)
	}
	if err := r.readClasses(&def, outputs, shape[0]); err != nil {
		return nil, err
	}
	classes := len(def.Labels)
	if r.class < 0 && !r.hasNumbers {
		classes = 1
	}
	r.boxDecoder, err = newBoxDecoder(def, classes, x)
	return r, err
}

// readClasses finds the output of classes, and checks that several labels need one.
func (r *rows) readClasses(def *repository.Definition, outputs []Tensor, n int64) (err error) {
	switch {
	case r.hasNumbers:
		var shape []int64
		if r.numbers, shape, err = pick(outputs, "output.classes", def.Output.Classes, numberTypes...); err != nil {
			return err
		}
		if flat := repository.Squeeze(shape, 1); len(flat) > 1 || len(flat) == 1 && differ(flat[0], n) {
			return fmt.Errorf("output.classes: rows of %q in model.onnx have the shape %v; want [n], with n = %d as in %q", r.numbers.name, shape, n, r.table.name)
		}
	case r.class < 0 && len(def.Labels) > 1:
		return fmt.Errorf("output.columns: names no class, but %s has %d labels; name the column, or the output of classes in output.classes",
			def.LabelsFile, len(def.Labels))
	}
	return nil
}

// Decode returns the boxes whose score reaches the threshold. Other rows are not checked, but every score must be a
// probability or negative.
func (r *rows) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return r.decode(outputs, transform, &p, func(to *detection) error {
		values, t, err := to.read(&r.table, outputs)
		if err != nil {
			return err
		}
		width := r.width
		n := len(values) / width
		if len(values) != n*width || len(t.Shape) > 0 && len(values) > 0 && t.Shape[len(t.Shape)-1] != int64(width) {
			return unusable(fmt.Errorf("output %q has the shape %v, which does not fit %d columns", t.Name, t.Shape, width))
		}
		to.tail = tail{values, len(r.def.Output.Columns), width, 1}
		to.objects = n
		var numbers *Tensor
		if r.hasNumbers {
			if numbers, err = r.numbers.read(outputs); err != nil {
				return err
			}
			if elements(numbers.Shape) != int64(n) {
				return unusable(fmt.Errorf("%q has %d classes for %d boxes", numbers.Name, elements(numbers.Shape), n))
			}
		}
		for i := range n {
			to.index = i
			if err := r.add(to, values[i*width:(i+1)*width], numbers, i); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *rows) add(to *detection, row []float32, numbers *Tensor, i int) error {
	score := row[r.score]
	switch {
	case r.row >= 0 && row[r.row] != 0:
		return nil
	case !(score <= maxProbability):
		return unusable(fmt.Errorf("output %q has a score of %v; want 0 to 1", to.output, score))
	case score <= 0 || score < to.score:
		return nil
	}
	class := 0
	var err error
	switch {
	case numbers != nil:
		n, ok := numbers.integer(i)
		class, err = r.boxDecoder.class(numbers.Name, n, ok)
	case r.class >= 0:
		n, ok := integerOf(float64(row[r.class]))
		class, err = r.boxDecoder.class(to.output, n, ok)
	}
	if err != nil || class < 0 {
		return err
	}
	return to.add(class, score, row[r.box[0]], row[r.box[1]], row[r.box[2]], row[r.box[3]])
}
