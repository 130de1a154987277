package v2http

import (
	"bytes"
	"strconv"

	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// Request is a request for inference and how its response is to be written.
type Request struct {
	v2.Request
	ID     string
	binary bool            // outputs are binary unless they say otherwise
	format map[string]bool // of outputs that do: binary
}

// maxTensors bounds the inputs and outputs of a request, which no model has as many of.
const maxTensors = 4096

// HeaderLength is the HTTP header with the length of the JSON that binary tensors follow. 0 means that there is no JSON, and the body
// is the only input.
const HeaderLength = "Inference-Header-Content-Length"

// Parse reads a request. headerLength are the values of HeaderLength. The request refers to body. The error is an *apierror.Error.
// convert is called with the number of bytes before an input that is given as JSON is converted to so many, and may refuse that.
func Parse(body []byte, headerLength []string, convert func(bytes int64) error) (*Request, error) {
	header, tensors := body, []byte(nil)
	if len(headerLength) > 0 {
		n, err := strconv.ParseUint(headerLength[0], 10, 63)
		if err != nil || len(headerLength) > 1 || n > uint64(len(body)) {
			return nil, apierror.New(apierror.Malformed, "%s is %s; allowed: one number from 0 to the length of the body, which is %d",
				HeaderLength, apierror.Quote(headerLength[0]), len(body))
		}
		if n == 0 {
			r := &Request{binary: true}
			r.Body = body
			if body == nil {
				r.Body = []byte{}
			}
			return r, nil
		}
		header, tensors = body[:n], body[n:]
	}
	p := parser{scanner: scanner{data: bytes.TrimPrefix(header, []byte("\xef\xbb\xbf"))}, r: &Request{}, convert: convert, tensors: tensors}
	if err := p.request(); err != nil {
		return nil, err
	}
	return p.r, p.takeTensors()
}

// parser reads the JSON of a request.
type parser struct {
	scanner
	r         *Request
	convert   func(int64) error
	tensors   []byte // that follow the JSON
	sizes     []int64
	hasInputs bool
}

func (p *parser) request() error {
	err := p.object("the request", func(name string) (err error) {
		switch name {
		case "id":
			p.r.ID, err = p.text("id")
		case "inputs":
			p.hasInputs = true
			err = p.array("inputs", p.input)
		case "outputs":
			err = p.array("outputs", p.output)
		case "parameters":
			err = p.parameters("parameters", p.parameter)
		default:
			_, err = p.skip()
		}
		return err
	})
	if err == nil {
		err = p.end()
	}
	if err == nil && !p.hasInputs {
		err = apierror.New(apierror.Malformed, `the request has no "inputs"; allowed: {"inputs":[{"name":…,"shape":[…],"datatype":…,"data":[…]}]}`)
	}
	return err
}

// parameter sets a parameter of the request.
func (p *parser) parameter(name string, value any) error {
	if name == "binary_data_output" {
		binary, ok := value.(bool)
		if !ok {
			return apierror.New(apierror.Malformed, "parameter binary_data_output is not true or false")
		}
		p.r.binary = binary
		return nil
	}
	if p.r.Parameters == nil {
		p.r.Parameters = v2.Parameters{}
	}
	p.r.Parameters[name] = value
	return nil
}

// parameters reads an object of parameters.
func (p *parser) parameters(what string, set func(name string, value any) error) error {
	return p.object(what, func(name string) error {
		value, err := p.value(name)
		if err != nil {
			return err
		}
		return set(name, value)
	})
}

// value reads the value of a parameter.
func (p *parser) value(name string) (any, error) {
	switch p.next() {
	case '"':
		return p.text("parameter " + name)
	case '{', '[':
		return nil, p.errorf("parameter %s is neither a number, a string, true nor false", apierror.Quote(name))
	}
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	switch string(t) {
	case "true", "false":
		return t[0] == 't', nil
	case "null", "NaN", "Infinity", "-Infinity":
		return nil, p.errorf("parameter %s is neither a number, a string, true nor false", apierror.Quote(name))
	}
	if n, err := strconv.ParseInt(string(t), 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(string(t), 10, 64); err == nil {
		return n, nil
	}
	n, _ := strconv.ParseFloat(string(t), 64) // out of range is an infinity, which no parameter accepts
	return n, nil
}

// input reads one element of inputs.
func (p *parser) input() error {
	if len(p.r.Inputs) == maxTensors {
		return p.errorf("there are more than %d inputs", maxTensors)
	}
	in, size, data := v2.Input{}, int64(-1), []byte(nil)
	err := p.object("inputs[]", func(name string) (err error) {
		switch name {
		case "name":
			in.Name, err = p.text("name")
		case "datatype":
			in.Datatype, err = p.text("datatype")
		case "shape":
			in.Shape, err = p.shape()
		case "data":
			var ok bool
			if data, ok = p.skipNumbers(); !ok {
				data, err = p.skip()
			}
		case "parameters":
			err = p.parameters("parameters", func(name string, value any) error { return inputParameter(name, value, &size) })
		default:
			_, err = p.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if (size < 0) == (data == nil) {
		return apierror.New(apierror.Malformed, "input '%s' must have either data or the parameter binary_data_size", in.Name)
	}
	if data != nil {
		in.Data = &values{data, p.convert}
	}
	p.r.Inputs, p.sizes = append(p.r.Inputs, in), append(p.sizes, size)
	return nil
}

// inputParameter reads the parameters of an input. Unknown ones have no effect.
func inputParameter(name string, value any, size *int64) error {
	if name != "binary_data_size" {
		return v2.CheckTensorParameter(name)
	}
	n, ok := value.(int64)
	if !ok || n < 0 {
		return apierror.New(apierror.Malformed, "parameter binary_data_size is not a number of bytes")
	}
	*size = n
	return nil
}

const maxDims = 64

func (p *parser) shape() (shape []int64, err error) {
	err = p.array("shape", func() error {
		if len(shape) == maxDims {
			return p.errorf("a shape has more than %d dimensions", maxDims)
		}
		n, err := p.integer("a size of a shape")
		shape = append(shape, n)
		return err
	})
	return shape, err
}

// output reads one element of outputs.
func (p *parser) output() error {
	if len(p.r.Outputs) == maxTensors {
		return p.errorf("there are more than %d outputs", maxTensors)
	}
	var out v2.OutputRequest
	var binary, isSet bool
	err := p.object("outputs[]", func(name string) (err error) {
		switch name {
		case "name":
			out.Name, err = p.text("name")
		case "parameters":
			err = p.parameters("parameters", func(name string, value any) error {
				if name != "binary_data" {
					return out.SetParameter(name, value)
				}
				if binary, isSet = value.(bool); !isSet {
					return apierror.New(apierror.Malformed, "parameter binary_data is not true or false")
				}
				return nil
			})
		default:
			_, err = p.skip()
		}
		return err
	})
	if isSet {
		if p.r.format == nil {
			p.r.format = map[string]bool{}
		}
		p.r.format[out.Name] = binary
	}
	p.r.Outputs = append(p.r.Outputs, out)
	return err
}

// takeTensors gives the bytes after the JSON to the inputs that have binary_data_size, in their order.
func (p *parser) takeTensors() error {
	rest := p.tensors
	for i, size := range p.sizes {
		in := &p.r.Inputs[i]
		if size < 0 {
			continue
		}
		if size > int64(len(rest)) {
			return apierror.New(apierror.Malformed, "unexpected size for input '%s', expecting %d additional bytes for model; the body has %d more", in.Name, size, len(rest))
		}
		in.Data = v2.Raw(rest[:size:size])
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return apierror.New(apierror.Malformed, "unexpected additional input data: %d bytes after the JSON and the inputs' binary_data_size", len(rest))
	}
	return nil
}
