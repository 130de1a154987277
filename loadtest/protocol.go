package loadtest

import (
	"fmt"
	"strconv"
	"strings"

	"fovea/internal/config"
)

// Protocol is what a Fovea server is asked by.
type Protocol string

// The protocols.
const (
	V1     Protocol = "v1"      // Fovea's own
	V2HTTP Protocol = "v2-http" // the Open Inference Protocol over HTTP, with binary tensors
	V2GRPC Protocol = "v2-grpc" // the same over gRPC
)

// InputKind is what requests of the Open Inference Protocol hold.
type InputKind string

// The kinds of inputs.
const (
	EncodedImages InputKind = "images" // for the image view MODEL.image
	Random        InputKind = "random" // tensors of random elements, for the model itself
	Zero          InputKind = "zero"   // tensors of zeros
)

// V2Config is what applies to the Open Inference Protocol only.
type V2Config struct {
	GRPC   string    `yaml:"grpc-url" help:"base URL of the server's gRPC port, for v2-grpc; https enables TLS"`
	Input  InputKind `yaml:"input" oneof:"images,random,zero" help:"what v2 requests hold: encoded images, or the model's tensors with random or zero elements"`
	Shapes Shapes    `yaml:"shape" help:"shape of an input tensor, such as images:1,3,640,640, if the model leaves sizes other than the batch open; may be repeated"`
}

// checkProtocol reports what does not go with the protocol.
func (c Config) checkProtocol(errs *config.Errors) {
	checkURL(errs, "grpc-url", c.V2.GRPC, c.Protocol == V2GRPC)
	if c.V2.Input == EncodedImages && len(c.V2.Shapes) > 0 {
		errs.Add("shape", "is for tensors; use input random or zero")
	}
	if c.Protocol != V1 {
		c.checkV2(errs)
		return
	}
	if c.V2.Input != EncodedImages {
		errs.Add("input", "tensors require protocol v2-http or v2-grpc")
	}
	if c.Body.Kind == Raw && c.Body.Images > 1 {
		errs.Add("images-per-request", "a raw body holds one image; use body multipart, json or template")
	}
}

// checkV2 reports what a request of the Open Inference Protocol cannot have.
func (c Config) checkV2(errs *config.Errors) {
	if c.URL != "" {
		errs.Add("url", "is for other routes; the Open Inference Protocol is spoken with server")
	}
	if c.Body.Kind != Raw {
		errs.Add("body", "the Open Inference Protocol has its own form; leave it out")
	}
	if c.Body.ContentType != "" {
		errs.Add("content-type", "the Open Inference Protocol has its own; leave it out")
	}
	if c.Expect.Classes != nil || c.Expect.At != "" {
		errs.Add("expect", "only responses of protocol v1 and of other servers have classes that can be compared")
	}
}

// Shapes are the shapes of inputs by their names.
type Shapes map[string][]int64

// UnmarshalText adds NAME:1,3,640,640.
func (s *Shapes) UnmarshalText(text []byte) error {
	at := strings.LastIndexByte(string(text), ':') // names may have colons
	if at < 1 {
		return fmt.Errorf("%q is not NAME:SIZES, such as images:1,3,640,640", text)
	}
	var shape []int64
	for size := range strings.SplitSeq(string(text[at+1:]), ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: %q is not a whole number above 0", text, size)
		}
		shape = append(shape, n)
	}
	if *s == nil {
		*s = Shapes{}
	}
	(*s)[string(text[:at])] = shape
	return nil
}
