package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// viewSuffix is that of the name under which a model takes encoded images.
const viewSuffix = ".image"

// Kinds of failures of the Open Inference Protocol.
const (
	kindNoV2     = "response is not of the protocol"
	kindMissing  = "output missing"
	kindOutput   = "output of a wrong type, shape or size"
	kindNoStatus = "response without gRPC status"
	kindFrame    = "response is not one gRPC message"
)

// modelMetadata describes a model, as GET /v2/models/MODEL does.
type modelMetadata struct {
	Versions []string     `json:"versions"`
	Inputs   []tensorInfo `json:"inputs"`
	Outputs  []tensorInfo `json:"outputs"`
}

// prepareV2 reads the model's metadata and makes the requests of it.
func (p *Plan) prepareV2(ctx context.Context) error {
	c := &p.config
	p.target.Model = c.Model
	if c.Model == "" { // only Fovea has a default model
		if err := p.queryFovea(ctx); err != nil {
			return err
		}
	}
	name := p.target.Model
	if c.V2.Input == EncodedImages {
		name += viewSuffix
	}
	base := strings.TrimSuffix(c.Server, "/")
	route := "/v2/models/" + url.PathEscape(name)
	m, err := p.metadata(ctx, base+route)
	if err != nil {
		return err
	}
	if len(m.Versions) > 0 {
		p.target.Version = m.Versions[len(m.Versions)-1]
	}
	p.target.URL, p.checker.v2 = base+route+"/infer", &v2Checker{outputs: m.Outputs, images: c.V2.Input == EncodedImages, read: httpResponse}
	request := httpRequest
	if c.Protocol == V2GRPC {
		p.target.URL, p.checker.v2.read = strings.TrimSuffix(c.V2.GRPC, "/")+inferMethod, grpcResponse
		request = func(inputs []tensor) body { return grpcRequest(name, inputs) }
	}
	if c.V2.Input != EncodedImages {
		return p.tensorBody(m.Inputs, request)
	}
	if p.checker.images, err = ReadImages(c.Images); err != nil {
		return err
	}
	p.bodies, err = bodies(p.checker.images, c.Body.Images, func(group []Image) (body, error) {
		return request([]tensor{imageTensor(m.Inputs[0], group)}), nil
	})
	return err
}

// metadata reads a model's metadata.
func (p *Plan) metadata(ctx context.Context, url string) (*modelMetadata, error) {
	status, data, err := get(ctx, url, p.config.Header, p.config.Timeout, p.link)
	if err != nil {
		return nil, fmt.Errorf("the server does not respond: %w", err)
	}
	var m modelMetadata
	if status != http.StatusOK || json.Unmarshal(data, &m) != nil || len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		hint := ""
		if p.config.V2.Input == EncodedImages {
			hint = "; encoded images are for models with a task, others take tensors: use input random or zero"
		}
		return nil, fmt.Errorf("GET %s: HTTP %d: %s%s", url, status, excerpt(data), hint)
	}
	return &m, nil
}

// tensorBody makes the one body of a load of tensors. Its rows count as images.
func (p *Plan) tensorBody(infos []tensorInfo, request func([]tensor) body) error {
	c, rows := &p.config, p.config.Body.Images
	var random *rand.Rand
	if c.V2.Input == Random {
		random = rand.New(rand.NewPCG(c.Seed, c.Seed)) //nolint:gosec // repeatable inputs
	}
	inputs, err := tensors(infos, c.V2.Shapes, rows, random)
	if err != nil {
		return err
	}
	var data []byte
	for _, t := range inputs {
		data = append(data, t.data...)
	}
	p.checker.images = []Image{{Name: string(c.V2.Input) + " tensors", Data: data[:len(data)/rows]}}
	p.bodies, err = bodies(p.checker.images, rows, func([]Image) (body, error) { return request(inputs), nil })
	return err
}

// v2Checker checks responses of the Open Inference Protocol.
type v2Checker struct {
	outputs []tensorInfo
	images  bool                           // outputs have a row for each image
	read    func([]byte) ([]tensor, error) // the outputs of a response
}

// failures returns the kind of failure of each image of a request: of none, or of all.
func (c *v2Checker) failures(images int, response []byte) []string {
	if kind := c.failure(images, response); kind != "" {
		return slices.Repeat([]string{kind}, images)
	}
	return nil
}

// failure returns the kind of failure of a response; empty if it is correct.
func (c *v2Checker) failure(images int, response []byte) string {
	outputs, err := c.read(response)
	if err != nil {
		return kindNoV2
	}
	for _, want := range c.outputs {
		i := slices.IndexFunc(outputs, func(t tensor) bool { return t.Name == want.Name })
		switch {
		case i < 0:
			return kindMissing
		case !c.fits(outputs[i], want, images):
			return kindOutput
		}
	}
	return ""
}

// fits reports whether an output is what the metadata says, and has the bytes that its shape takes.
func (c *v2Checker) fits(t tensor, want tensorInfo, images int) bool {
	n, ok := elements(t.Shape)
	if !ok || t.Datatype != want.Datatype || c.images && (len(t.Shape) == 0 || t.Shape[0] != int64(images)) {
		return false
	}
	if size, fixed := elementSizes[t.Datatype]; fixed {
		return int64(len(t.data)) == n*size
	}
	return int64(len(t.data)) >= 4*n // each element of BYTES has its length in four bytes
}
