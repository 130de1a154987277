package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// Tensor is a whole input or output: Shape has all dimensions, Data is in row-major and native byte order. A string has its length
// in four bytes in front, the lowest first.
type Tensor = postprocess.Tensor

// TensorRequest is a request with tensors instead of an image.
type TensorRequest struct {
	Inputs  []Tensor      // each input of the ONNX file once, in any order; not kept after Infer
	Outputs []string      // those to return, in this order; nil: all that Info lists
	Waited  time.Duration // before Infer; added to Timing.Queue

	Client      string  // whom the rows are counted for
	ClientShare float64 // of the queue that one client may hold while others need it; 0: all
}

// TensorResponse is the answer to a TensorRequest. The outputs' memory is the caller's.
type TensorResponse struct {
	Device  string
	Outputs []Tensor
	Timing  Timing
	Rows    int // rows of the version's batches that the request took; 0: it ran by itself
	runs    int // runs that began with one of them
	largest int // rows in the largest run
}

// Infer answers a request with tensors. Every error is an *apierror.Error. It returns as soon as ctx ends. Rows of the shape of the
// version's batches share them with images; with other shapes, or outputs that the definition does not read, the request runs by
// itself, on the same instances.
func (r *Ref) Infer(ctx context.Context, q TensorRequest) (*TensorResponse, error) {
	v, start := r.v, time.Now()
	response := &TensorResponse{}
	err := panics.Catch(func() error { return v.infer(ctx, q, response) })
	total := time.Since(start) + q.Waited
	if err != nil {
		return nil, v.reject(OfTensors, total, err)
	}
	response.Timing.Queue += q.Waited
	v.stats[OfTensors].success(max(response.Rows, 1), response.runs, response.largest, total, response.Timing)
	v.observeStages(response.Timing)
	return response, nil
}

func (v *version) infer(ctx context.Context, q TensorRequest, response *TensorResponse) error {
	in, err := v.arrange(q.Inputs)
	if err != nil {
		return err
	}
	names := q.Outputs
	if names == nil {
		names = namesOf(v.info.Outputs)
	}
	rows := v.rowsOf(in)
	if rows > 0 && v.batchesHave(names) {
		err := v.inferRows(ctx, q, in, rows, names, response)
		if !errors.Is(err, errNotRows) {
			return err
		}
		*response = TensorResponse{}
	}
	return v.inferAlone(ctx, q, in, names, response)
}

// arrange puts the inputs into the order of the file and checks them against it.
func (v *version) arrange(given []Tensor) ([]Tensor, error) {
	in := make([]Tensor, len(v.inputs))
	for _, t := range given {
		i := slices.IndexFunc(v.inputs, func(info repository.TensorInfo) bool { return info.Name == t.Name })
		if i < 0 || in[i].Name != "" {
			return nil, apierror.New(apierror.Malformed, "input %s is unknown or given twice; inputs: %s", apierror.Quote(t.Name), strings.Join(namesOf(v.inputs), ", "))
		}
		info := v.inputs[i]
		fits := len(info.Shape) == 0 || slices.EqualFunc(t.Shape, info.Shape, func(n, declared int64) bool { return declared < 0 || n == declared })
		if t.DType != info.DType || !fits {
			return nil, apierror.New(apierror.Malformed, "input %q is %s %v; the model takes %s %v", t.Name, t.DType, t.Shape, info.DType, info.Shape)
		}
		if size := onnx.FeedSize(t.DType); size > 0 && elementsOf(t.Shape)*int64(size) != int64(len(t.Data)) {
			return nil, apierror.New(apierror.Malformed, "input %q has %d bytes, which is not the size of %s %v", t.Name, len(t.Data), t.DType, t.Shape)
		}
		in[i] = t
	}
	for i, t := range in {
		if t.Name == "" {
			return nil, apierror.New(apierror.Malformed, "input %q is missing", v.inputs[i].Name)
		}
	}
	return in, nil
}

// elementsOf is the number of elements of a shape; -1 if it is not possible.
func elementsOf(shape []int64) int64 {
	const limit = 1 << 40
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && n > limit/d {
			return -1
		}
		n *= d
	}
	return n
}

func namesOf(infos []repository.TensorInfo) []string {
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	return names
}

// rowsOf is the number of rows of the version's batches that the inputs are; 0 if they are none.
func (v *version) rowsOf(in []Tensor) int {
	if v.rowShapes == nil {
		return 0
	}
	rows := int64(0)
	for i, t := range in {
		row, n := v.rowShapes[i], int64(1)
		switch {
		case slices.Equal(t.Shape, row): // without a batch dimension
		case len(t.Shape) == len(row)+1 && slices.Equal(t.Shape[1:], row):
			n = t.Shape[0]
		default:
			return 0
		}
		if n < 1 || rows > 0 && n != rows {
			return 0
		}
		rows = n
	}
	return int(rows)
}

// batchesHave reports whether batches have the outputs, with a known number of dimensions.
func (v *version) batchesHave(names []string) bool {
	fetched := v.sessions[0].Outputs()
	for _, name := range names {
		i := slices.IndexFunc(fetched, func(info repository.TensorInfo) bool { return info.Name == name })
		if i < 0 || len(fetched[i].Shape) == 0 {
			return false
		}
	}
	return true
}

// errNotRows is the error of rows whose outputs differ in shape, or have no batch dimension: the model must compute them
// together.
var errNotRows = errors.New("the outputs cannot be put together")

// inferRows runs each row in a batch of the version.
func (v *version) inferRows(ctx context.Context, q TensorRequest, in []Tensor, rows int, names []string, response *TensorResponse) error {
	if err := v.queue.enter(rows, q.Client, q.ClientShare); err != nil {
		return err
	}
	defer v.queue.leave(rows, q.Client)
	v.shared.workers.count(rows)
	defer v.shared.workers.count(-rows)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response.Rows = rows
	j := joiner{names: names, rows: rows, declared: v.outputs}
	if rows == 1 {
		h, err := v.enterRow(ctx, in, 0, &response.Timing)
		if err != nil {
			return err
		}
		return v.joinRow(ctx, h, 0, &j, response)
	}
	handles, written := make(chan *batcher.Handle, rows), make(chan error, 1)
	var entered Timing
	go func() {
		defer close(handles)
		written <- panics.Catch(func() error { return v.enterRows(ctx, in, rows, handles, &entered) })
	}()
	var failed error
	for i := 0; ; i++ {
		h, more := <-handles
		if !more {
			break
		}
		if failed != nil {
			h.Release()
		} else if failed = v.joinRow(ctx, h, i, &j, response); failed != nil {
			cancel() // what is not entered yet
		}
	}
	if err := <-written; failed == nil {
		failed = err
	}
	response.Timing.Queue += entered.Queue
	response.Timing.Preprocess = entered.Preprocess
	return failed
}

// enterRows sends the handles of all rows, in order. Their outputs are read meanwhile, so that there are always slots again. Only
// the first row's wait counts as such: the others wait while it runs.
func (v *version) enterRows(ctx context.Context, in []Tensor, rows int, handles chan<- *batcher.Handle, timing *Timing) error {
	for i := range rows {
		before := timing.Queue
		h, err := v.enterRow(ctx, in, i, timing)
		if err != nil {
			return err
		}
		if i > 0 {
			timing.Queue = before
		}
		handles <- h
	}
	return nil
}

// enterRow copies one row of each input into a batch and has it run.
func (v *version) enterRow(ctx context.Context, in []Tensor, row int, timing *Timing) (*batcher.Handle, error) {
	watch := newStopwatch(ctx, timing)
	h, err := v.batcher.Enter(ctx)
	if err != nil {
		return nil, err
	}
	watch.lap(StageQueue, &watch.Queue)
	if err := panics.Catch(func() error { return copyRows(h, in, row) }); err != nil {
		h.Release()
		return nil, err
	}
	watch.commit(h)
	watch.lap(StagePreprocess, &watch.Preprocess)
	return h, nil
}

func copyRows(h *batcher.Handle, in []Tensor, row int) error {
	for i, t := range in {
		to := h.Input(i)
		at := row * len(to)
		if at+len(to) > len(t.Data) {
			return fmt.Errorf("input %q has %d bytes; row %d takes %d", t.Name, len(t.Data), row, len(to))
		}
		copy(to, t.Data[at:])
	}
	return nil
}

// joinRow waits for a row and adds its outputs to the response. It releases the handle.
func (v *version) joinRow(ctx context.Context, h *batcher.Handle, row int, j *joiner, response *TensorResponse) error {
	defer h.Release()
	if err := h.Wait(ctx); err != nil {
		return modelFailed(err)
	}
	watch := newStopwatch(ctx, &response.Timing)
	n, leads := h.Rows()
	if leads {
		response.runs++
	}
	if row == 0 || leads {
		watch.recordRun(h)
	}
	response.largest = max(response.largest, n)
	if row == 0 {
		watch.Queue += h.QueueTime()
		response.Device = h.Device()
	}
	watch.Infer = max(watch.Infer, h.RunTime())
	if err := j.add(h.Outputs(), row); err != nil {
		return err
	}
	response.Outputs = j.outputs
	watch.lap(StagePostprocess, &watch.Postprocess)
	return nil
}

// joiner puts the outputs of rows together.
type joiner struct {
	names    []string
	rows     int
	declared []repository.TensorInfo // with all dimensions
	outputs  []Tensor
}

// add copies the outputs of a row to their place. The first row decides the shapes.
func (j *joiner) add(outputs []postprocess.Tensor, row int) error {
	for k, name := range j.names {
		t := outputs[slices.IndexFunc(outputs, func(t postprocess.Tensor) bool { return t.Name == name })]
		declared := j.declared[slices.IndexFunc(j.declared, func(i repository.TensorInfo) bool { return i.Name == name })]
		batched := len(t.Shape) == len(declared.Shape)-1
		if !batched && (j.rows > 1 || len(t.Shape) != len(declared.Shape)) {
			return errNotRows
		}
		if row == 0 {
			out := Tensor{Name: name, DType: t.DType, Shape: slices.Clone(t.Shape), Data: make([]byte, j.rows*len(t.Data))}
			if batched {
				out.Shape = append([]int64{int64(j.rows)}, t.Shape...)
			}
			j.outputs = append(j.outputs, out)
		}
		out := j.outputs[k]
		if j.rows > 1 && (!slices.Equal(out.Shape[1:], t.Shape) || len(out.Data) != j.rows*len(t.Data)) {
			return errNotRows
		}
		copy(out.Data[row*len(t.Data):], t.Data)
	}
	return nil
}

// inferAlone runs the inputs by themselves, with any shapes that the model takes.
func (v *version) inferAlone(ctx context.Context, q TensorRequest, in []Tensor, names []string, response *TensorResponse) error {
	if err := v.queue.enter(1, q.Client, q.ClientShare); err != nil {
		return err
	}
	defer v.queue.leave(1, q.Client)
	v.shared.workers.count(1)
	defer v.shared.workers.count(-1)
	watch := newStopwatch(ctx, &response.Timing)
	h, err := v.batcher.Enter(ctx)
	if err != nil {
		return err
	}
	defer h.Release()
	watch.lap(StageQueue, &watch.Queue)
	feed, err := v.sessions[slices.Index(v.groups, h.Group())].NewFeed(in)
	if err != nil {
		return err
	}
	h.Submit(feed)
	watch.lap(StagePreprocess, &watch.Preprocess)
	if err := h.Wait(ctx); err != nil {
		return feedFailed(err)
	}
	watch.ran(h)
	response.Device, response.runs, response.largest = h.Device(), 1, 1
	all := h.Outputs()
	for _, name := range names {
		i := slices.IndexFunc(all, func(t postprocess.Tensor) bool { return t.Name == name })
		if i < 0 {
			return apierror.New(apierror.Malformed, "output %s is unknown; outputs: %s", apierror.Quote(name), strings.Join(namesOf(v.info.Outputs), ", "))
		}
		t := all[i]
		t.Data = slices.Clone(t.Data)
		response.Outputs = append(response.Outputs, t)
	}
	watch.lap(StagePostprocess, &watch.Postprocess)
	return nil
}

// feedFailed is the API error of a run of a request's own tensors in which a node of the model failed: their shapes or values do
// not fit it, unless memory was missing.
func feedFailed(err error) error {
	run, ok := errors.AsType[*onnx.RunError](err)
	if !ok || onnx.IsDeviceLost(err) || strings.Contains(strings.ToLower(run.Reason), "alloc") {
		return modelFailed(err)
	}
	return apierror.Wrap(apierror.Malformed, err, "the model cannot compute these inputs; its node %q (%s) says: %s", run.Node, run.Op, run.Reason)
}
