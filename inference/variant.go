package inference

import (
	"bytes"
	"context"
	"errors"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// Variant predicts with a served version as if its definition were another: with a separate plan and output decoder, and the
// sessions and batches of the version. The definition's input must have the same shape and type in the model, and its decoder may
// only read outputs that the version's own definition names.
type Variant struct{ v, of *version }

// Variant returns a variant of a served version of a model; the highest for none. change changes a copy of its definition, which is completed
// from the ONNX file. The error says why it does not fit the model. Close must be called in the end: the version is not
// unloaded before.
func (e *Engine) Variant(model, version string, change func(*repository.Definition)) (*Variant, error) {
	of, absent, err := e.acquireResident(model, version)
	if err != nil {
		return nil, err
	}
	if absent != nil {
		return nil, apierror.New(apierror.NotReady, "model %q is not loaded", absent.name)
	}
	v, err := of.with(change)
	if err != nil {
		of.done()
		return nil, err
	}
	return &Variant{v, of}, nil
}

// Definition returns the variant's definition, completed from the ONNX file.
func (v *Variant) Definition() repository.Definition { return v.v.definition }

// Predict answers an image with the definition's parameters.
func (v *Variant) Predict(ctx context.Context, image []byte) (postprocess.Prediction, error) {
	response, err := v.v.predict(ctx, Request{Image: image}, nil)
	if err != nil {
		return nil, err
	}
	return response.Prediction, nil
}

// Close gives the version back.
func (v *Variant) Close() { v.of.done() }

// with returns a version with another definition that shares what v loaded.
func (v *version) with(change func(*repository.Definition)) (*version, error) {
	if v.plan == nil {
		return nil, v.noTask()
	}
	d := v.definition
	change(&d)
	resolved, err := d.Resolve(v.declared, v.outputs)
	if err != nil {
		return nil, err
	}
	if !v.definition.Input.SameGraph(resolved.Input) {
		return nil, errors.New("input.normalize: the model is loaded with its normalization in the graph, which a variant shares")
	}
	if resolved.Input.Name != v.definition.Input.Name {
		return nil, errors.New("input.name: a variant has the same image input")
	}
	plan, err := preprocess.NewPlan(resolved.Input.Packed())
	if err != nil {
		return nil, err
	}
	if plan.RowBytes() != v.plan.RowBytes() {
		return nil, errors.New("input: a variant has the same shape and type")
	}
	decoder, err := postprocess.New(resolved, v.groups[0].Runner().Outputs(0))
	if err != nil {
		return nil, err
	}
	return &version{wantedVersion: v.wantedVersion, shared: v.shared, model: v.model, name: v.name, entry: v.entry, definition: resolved,
		declared: v.declared, inputs: v.inputs, outputs: v.outputs, image: v.image, extras: v.extras, plan: plan, decoder: decoder, batcher: v.batcher, groups: v.groups,
		queue: queue{bound: v.queue.bound, report: func(int) {}}}, nil
}

// PredictRow answers a row of the image input, as Tensors has it. The input must not have the size of each image.
func (v *Variant) PredictRow(ctx context.Context, row []byte) (postprocess.Prediction, error) {
	response, err := v.v.predict(ctx, Request{Row: row}, nil)
	if err != nil {
		return nil, err
	}
	return response.Prediction, nil
}

// Tensors returns what the inputs of the model get for an image, in the order of the ONNX file: one row each, or as many copies as the
// file fixes.
func (v *Variant) Tensors(ctx context.Context, image []byte) ([]Tensor, error) {
	w := v.v
	info, err := header.Read(image, w.shared.limits)
	if err != nil {
		return nil, err
	}
	img, err := w.plan.Decode(ctx, image, info)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	shapes := w.inputShapes(w.plan.InputSize(info.OrientedSize()))
	list := make([]Tensor, len(w.inputs))
	for i, in := range w.inputs {
		list[i] = Tensor{Name: in.Name, DType: in.DType, Shape: shapes[i], Data: make([]byte, elementsOf(shapes[i])*int64(in.DType.Size()))}
	}
	transform, err := w.plan.Pack(img, list[w.image].Data)
	if err != nil {
		return nil, err
	}
	for _, x := range w.extras {
		x.write(list[x.input].Data, transform)
	}
	for i, in := range w.inputs {
		if len(in.Shape) > len(list[i].Shape) {
			copies := max(1, in.Shape[0])
			list[i].Shape = append([]int64{copies}, list[i].Shape...)
			list[i].Data = bytes.Repeat(list[i].Data, int(copies))
		}
	}
	return list, nil
}

// Row returns the row of the image input that an image becomes, for PredictRow.
func (v *Variant) Row(ctx context.Context, image []byte) ([]byte, error) {
	tensors, err := v.Tensors(ctx, image)
	if err != nil {
		return nil, err
	}
	return tensors[v.v.image].Data[:v.v.plan.RowBytes()], nil
}
