package v2

import (
	"context"
	"slices"
	"strings"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
)

// Infer answers a request, within its time limit and the server's. The inputs' bytes are not kept.
func (s *Server) Infer(ctx context.Context, r *Request) (*Response, error) {
	m, err := s.open(ctx, r.Model, r.Version)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := r.Parameters.check(); err != nil {
		return nil, err
	}
	limit, err := r.Parameters.timeout()
	if err != nil {
		return nil, err
	}
	if left := s.limits.Timeout - r.Waited; limit == 0 || limit > left {
		limit = left
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := ctx.Err(); err != nil { // a limit below what a request takes at least
		return nil, tooLate(apierror.From(err), limit)
	}
	response, err := s.infer(ctx, m, r)
	if end, _ := ctx.Deadline(); err == nil && time.Now().After(end) { // whether the context's timer has fired yet or not
		err = context.DeadlineExceeded
	}
	if err != nil {
		return nil, tooLate(apierror.From(err), limit)
	}
	response.Model, response.Version = m.name, m.info.Version
	return response, nil
}

// tooLate says what the time limit was.
func tooLate(err *apierror.Error, limit time.Duration) error {
	if err.Code == apierror.DeadlineExceeded {
		return apierror.New(err.Code, "no response within %s", limit)
	}
	return err
}

func (s *Server) infer(ctx context.Context, m *opened, r *Request) (*Response, error) {
	metadata := s.metadata(m)
	outputs, err := requested(m, metadata, r.Outputs)
	if err != nil {
		return nil, err
	}
	inputs := r.Inputs
	if r.Body != nil {
		body, err := s.described(m, metadata, r.Body)
		if err != nil {
			return nil, err
		}
		inputs = []Input{body}
	}
	if err := s.checkInputs(m, metadata, inputs); err != nil {
		return nil, err
	}
	if m.view != nil {
		return s.inferImages(ctx, m, r, inputs[0], outputs)
	}
	return s.inferTensors(ctx, m, r, inputs, outputs)
}

// requested are the outputs to return: those asked for, each once, or all.
func requested(m *opened, metadata *ModelMetadata, asked []OutputRequest) ([]OutputRequest, error) {
	if len(asked) == 0 {
		all := make([]OutputRequest, len(metadata.Outputs))
		for i, o := range metadata.Outputs {
			all[i].Name = o.Name
		}
		return all, nil
	}
	var list []OutputRequest
	for _, o := range asked {
		i := find(metadata.Outputs, o.Name)
		switch {
		case i < 0:
			return nil, apierror.New(apierror.Malformed, "unexpected inference output '%s' for model '%s'; outputs: %s", Shortened(o.Name), m.name, quoted(metadata.Outputs))
		case o.Classes < 0:
			return nil, apierror.New(apierror.InvalidParameter, "output '%s': the parameter classification is %d; allowed: the number of classes to return", o.Name, o.Classes)
		case o.Classes > 0 && !classifies(metadata.Outputs[i].Datatype):
			return nil, apierror.New(apierror.InvalidParameter, "output '%s' is %s, which cannot be ranked; the parameter classification is for numbers", o.Name, metadata.Outputs[i].Datatype)
		case !slices.ContainsFunc(list, func(other OutputRequest) bool { return other.Name == o.Name }):
			list = append(list, o)
		}
	}
	return list, nil
}

func find(tensors []TensorMetadata, name string) int {
	return slices.IndexFunc(tensors, func(t TensorMetadata) bool { return t.Name == name })
}

func quoted(tensors []TensorMetadata) string {
	list := make([]string, len(tensors))
	for i, t := range tensors {
		list[i] = "'" + t.Name + "'"
	}
	return strings.Join(list, ", ")
}

// checkInputs checks names, datatypes and shapes.
func (s *Server) checkInputs(m *opened, metadata *ModelMetadata, inputs []Input) error {
	seen := make(map[string]bool, len(metadata.Inputs))
	for _, in := range inputs {
		i := find(metadata.Inputs, in.Name)
		switch {
		case i < 0:
			return apierror.New(apierror.Malformed, "unexpected inference input '%s' for model '%s'; inputs: %s", Shortened(in.Name), m.name, quoted(metadata.Inputs))
		case seen[in.Name]:
			return apierror.New(apierror.Malformed, "input '%s' already exists in request", in.Name)
		}
		seen[in.Name] = true
		if err := s.checkInput(m, metadata.Inputs[i], in); err != nil {
			return err
		}
	}
	for _, t := range metadata.Inputs {
		if !seen[t.Name] {
			return apierror.New(apierror.Malformed, "expected %d inputs but got %d inputs for model '%s'; input '%s' is missing", len(metadata.Inputs), len(inputs), m.name, t.Name)
		}
	}
	return nil
}

// checkInput compares an input with the model's.
func (s *Server) checkInput(m *opened, want TensorMetadata, in Input) error {
	if err := checkDatatype(in.Datatype, in.Name); err != nil {
		return err
	}
	if in.Datatype != want.Datatype {
		return apierror.New(apierror.Malformed, "inference input '%s' data-type is '%s', but model '%s' expects '%s'", in.Name, in.Datatype, m.name, want.Datatype)
	}
	if _, ok := elements(in.Shape); !ok {
		return apierror.New(apierror.Malformed, "input '%s' has the shape %v; allowed: sizes above 0 of at most 2^40 elements together", in.Name, shortShape(in.Shape))
	}
	fits := slices.EqualFunc(in.Shape, want.Shape, func(n, declared int64) bool { return declared < 0 || n == declared })
	if !fits && len(m.infoShape(in.Name)) > 0 {
		return apierror.New(apierror.Malformed, "unexpected shape for input '%s' for model '%s'. Expected %s, got %s; -1 is any size",
			in.Name, m.name, shapeText(want.Shape), shapeText(shortShape(in.Shape)))
	}
	if limit := s.maxRows(m); limit > 0 && in.Shape[0] > int64(limit) {
		return apierror.New(apierror.Malformed, "inference request batch-size must be <= %d for '%s'", limit, m.name)
	}
	return nil
}

// infoShape is the shape of an input; empty if it is unknown, or that of a scalar.
func (m *opened) infoShape(name string) []int64 {
	if m.view != nil {
		return []int64{-1, 1}
	}
	for _, info := range m.info.Inputs {
		if info.Name == name {
			return info.Shape
		}
	}
	return nil
}

// shortShape is a shape for a message.
func shortShape(shape []int64) []int64 { return shape[:min(len(shape), 16)] }

// described gives the only input of a model the bytes of a body: one row, where the model has rows. At most one other size may be
// open, which the number of bytes then decides.
func (s *Server) described(m *opened, metadata *ModelMetadata, body []byte) (Input, error) {
	if len(metadata.Inputs) != 1 {
		return Input{}, apierror.New(apierror.Malformed, "model '%s' has %d inputs; a body without a JSON header is for models with one input", m.name, len(metadata.Inputs))
	}
	in := metadata.Inputs[0]
	shape := slices.Clone(in.Shape)
	if m.view != nil || m.info.Batched {
		shape[0] = 1
	}
	open := slices.Index(shape, -1)
	if in.Datatype == Bytes {
		if n, ok := elements(shape); open >= 0 || !ok || n != 1 {
			return Input{}, apierror.New(apierror.Malformed, "input '%s' of BYTES has the shape %s; a body without a JSON header is one element", in.Name, shapeText(in.Shape))
		}
		return Input{in.Name, in.Datatype, shape, Raw(AppendBytes(nil, body))}, nil
	}
	if open >= 0 {
		shape[open] = 1
		rest, ok := elements(shape)
		size := rest * int64(Size(in.Datatype))
		if !ok || int64(len(body))%size != 0 || slices.Contains(shape, -1) {
			return Input{}, apierror.New(apierror.Malformed, "input '%s' has the shape %s; a body without a JSON header does not say which of its sizes has %d bytes",
				in.Name, shapeText(in.Shape), len(body))
		}
		shape[open] = int64(len(body)) / size
	}
	return Input{in.Name, in.Datatype, shape, Raw(body)}, nil
}

// inferTensors answers with the model's own tensors.
func (s *Server) inferTensors(ctx context.Context, m *opened, r *Request, inputs []Input, outputs []OutputRequest) (*Response, error) {
	q := inference.TensorRequest{Waited: r.Waited, Client: r.Client, ClientShare: r.ClientShare}
	for _, in := range inputs {
		data, err := in.read(r)
		if err != nil {
			return nil, err
		}
		q.Inputs = append(q.Inputs, inference.Tensor{Name: in.Name, DType: datatypes[in.Datatype], Shape: in.Shape, Data: data})
	}
	for _, o := range outputs {
		q.Outputs = append(q.Outputs, o.Name)
	}
	r.Accepted = true
	answer, err := m.Infer(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := r.growBy(answer.Outputs); err != nil {
		return nil, err
	}
	response := &Response{Rows: max(answer.Rows, 1)}
	for i, t := range answer.Outputs {
		out := Output{t.Name, names[t.DType], t.Shape, t.Data}
		if n := outputs[i].Classes; n > 0 {
			var err error
			if out, err = m.classify(out, n); err != nil {
				return nil, err
			}
		}
		response.Outputs = append(response.Outputs, out)
	}
	return response, nil
}

// growBy counts the memory of outputs, which a client may read slowly.
func (r *Request) growBy(outputs []inference.Tensor) error {
	if r.Grow == nil {
		return nil
	}
	size := 0
	for _, t := range outputs {
		size += len(t.Data)
	}
	return r.Grow(int64(size))
}

// stringSize is the memory of an element of BYTES in ONNX Runtime, besides its bytes, as an input and as an output.
const stringSize = 2 * 32

// read returns the input's elements, which are as many as the shape takes.
func (in *Input) read(r *Request) ([]byte, error) {
	n, _ := elements(in.Shape)
	if in.Datatype == Bytes && r.Grow != nil {
		if err := r.Grow(stringSize * n); err != nil {
			return nil, err
		}
	}
	data, err := in.Data.Read(in.Name, in.Datatype, n)
	if err != nil || in.Datatype != Bytes {
		return data, err
	}
	return data, CheckBytes(data, n, in.Name)
}
