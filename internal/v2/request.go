package v2

import (
	"fmt"
	"strings"
	"time"

	"fovea/internal/apierror"
)

// Source holds the elements of an input, in the form in which they were sent.
type Source interface {
	// Read returns the elements in row-major order and little-endian, those of BYTES with their lengths. It is called once, after the
	// datatype and the shape have been found to be right; elements is the product of the shape. The error is an *apierror.Error.
	Read(input, datatype string, elements int64) ([]byte, error)
}

// Raw is a Source of elements that were sent as bytes.
type Raw []byte

// Read implements Source.
func (r Raw) Read(input, datatype string, elements int64) ([]byte, error) {
	if size := int64(Size(datatype)); size > 0 && size*elements != int64(len(r)) {
		return nil, apierror.New(apierror.Malformed, "input '%s' has %d bytes; %d elements of %s take %d", input, len(r), elements, datatype, size*elements)
	}
	return r, nil
}

// Input is a tensor of a request.
type Input struct {
	Name     string
	Datatype string
	Shape    []int64
	Data     Source
}

// OutputRequest asks for an output.
type OutputRequest struct {
	Name    string
	Classes int // 0, or the number of best classes to return instead, as BYTES "value:class:label"
}

// maxClasses bounds the parameter classification.
const maxClasses = 1 << 30

// SetParameter sets a parameter of the output. Unknown ones have no effect. The error is an *apierror.Error.
func (o *OutputRequest) SetParameter(name string, value any) error {
	if name != "classification" {
		return CheckTensorParameter(name)
	}
	n, ok := value.(int64)
	if !ok || n < 0 || n > maxClasses {
		return apierror.New(apierror.InvalidParameter, "parameter classification is not a number of classes, from 0 to %d", maxClasses)
	}
	o.Classes = int(n)
	return nil
}

// CheckTensorParameter returns an *apierror.Error for a parameter of an input or output that asks for what is not supported.
func CheckTensorParameter(name string) error {
	switch name {
	case "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset":
		return apierror.New(apierror.InvalidParameter, "parameter %s: shared memory is not supported; allowed: data or binary data", name)
	}
	return nil
}

// Request is a request for inference.
type Request struct {
	Model, Version string // Version may be empty: the highest
	Inputs         []Input
	Outputs        []OutputRequest // empty: all
	Parameters     Parameters
	// Body, unless nil, is the only input: its bytes without a description. Inputs is empty then.
	Body   []byte
	Waited time.Duration // before the request; counted as queue time

	Client      string  // whom the request is counted for
	ClientShare float64 // of a model's queue that one client may hold while others need it; 0: all

	// Decoded, unless nil, is called once the inputs' bytes are no longer needed, if that is before Infer returns.
	Decoded func()
	// Grow, unless nil, is called with the number of bytes before the request takes so many besides what was received, and may
	// refuse that.
	Grow func(bytes int64) error
	// Accepted is set once the engine has the request. It counts the errors from then on.
	Accepted bool
}

// Output is a tensor of a response.
type Output struct {
	Name     string
	Datatype string
	Shape    []int64
	Data     []byte // as Source.Read returns it
}

// Response is the answer to a Request.
type Response struct {
	Model, Version string
	Outputs        []Output
	Rows           int // images or rows
}

// LargeResponse is the size in bytes from which a response counts as memory of the request until it is written: its reader may be slow.
const LargeResponse = 1 << 20

// Parameters are the parameters of a request: bool, int64, uint64, float64 or string. Unknown ones have no effect.
type Parameters map[string]any

// reserved is the prefix of names that Triton reserves.
const reserved = "triton_"

// emptyFinal is the one of them that clients send in streams. There is one response for each request, so that it has no effect.
const emptyFinal = "triton_enable_empty_final_response"

// check returns an error for names that must not be used.
func (p Parameters) check() error {
	for name := range p {
		if strings.HasPrefix(name, reserved) && name != emptyFinal {
			return apierror.New(apierror.InvalidParameter, "parameter %s: names that begin with '%s' are reserved", apierror.Quote(name), reserved)
		}
	}
	return nil
}

// timeout is the parameter timeout, in microseconds; 0 without one.
func (p Parameters) timeout() (time.Duration, error) {
	const limit = int64(24 * time.Hour / time.Microsecond)
	var n int64
	switch v := p["timeout"].(type) {
	case nil:
		return 0, nil
	case int64:
		n = v
	case uint64:
		n = int64(min(v, uint64(limit)))
	default:
		n = -1
	}
	if n < 0 {
		return 0, apierror.New(apierror.InvalidParameter, "parameter timeout is %s; allowed: a whole number of microseconds, 0 for none", apierror.Quote(fmt.Sprint(p["timeout"])))
	}
	return time.Duration(min(n, limit)) * time.Microsecond, nil
}
