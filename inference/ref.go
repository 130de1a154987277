package inference

import (
	"context"
	"slices"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// Ref is a version of a model that a request uses. It is not unloaded before Close.
type Ref struct{ v *version }

// Open finds a version of a model, as Predict does: one that is not in memory is loaded. The error is an *apierror.Error. Close must be
// called.
func (e *Engine) Open(ctx context.Context, model, version string) (*Ref, error) {
	v, err := e.acquire(ctx, model, version)
	if err != nil {
		return nil, err
	}
	return &Ref{v}, nil
}

// Has reports whether there is a model of that name, ready or not.
func (e *Engine) Has(name string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.models[name] != nil
}

// Close gives the version back.
func (r *Ref) Close() { r.v.done() }

// Predict is Engine.Predict with this version.
func (r *Ref) Predict(ctx context.Context, q Request) (*Response, error) {
	return r.v.respond(ctx, q)
}

// Info describes a version that is ready. It must not be changed.
type Info struct {
	Model, Version string
	Device         string
	Definition     repository.Definition   // completed from the ONNX file
	Inputs         []repository.TensorInfo // of the ONNX file
	Outputs        []repository.TensorInfo // those that Infer returns: tensors, of a type that is supported
	Image          string                  // the input that images are written to; empty without a task
	// Batched: the ONNX file leaves the first dimension of all inputs and outputs open, so that it is that of the batch.
	Batched   bool
	MaxBatch  int // rows of a batch
	MaxQueue  int
	Instances []InstanceGroup
}

// InstanceGroup is a number of instances on a device, such as cpu or cuda:0.
type InstanceGroup struct {
	Device string
	Count  int
}

// Info describes the version.
func (r *Ref) Info() *Info { return r.v.info }

// Statistics returns the statistics of a kind of requests since the version was loaded.
func (r *Ref) Statistics(of RequestKind) Statistics { return r.v.stats[of].read() }

// describe makes the version's Info, once it is loaded.
func (v *version) describe(specs []groupSpec) {
	outputs := v.file.Fetched()
	open := func(info repository.TensorInfo) bool { return len(info.Shape) == 0 || info.Shape[0] >= 0 }
	info := &Info{Model: v.model, Version: v.name, Device: v.device, Definition: v.definition, Inputs: v.inputs, Outputs: outputs,
		Batched:  !slices.ContainsFunc(v.inputs, open) && !slices.ContainsFunc(outputs, open),
		MaxBatch: slices.Max(v.groups[0].Buckets()), MaxQueue: v.queue.bound}
	if v.plan != nil {
		info.Image = v.definition.Input.Name
	}
	for _, s := range specs {
		info.Instances = append(info.Instances, InstanceGroup{s.device.String(), s.instances})
	}
	v.info = info
}

// noTask is the API error of an image for a model without a task.
func (v *version) noTask() error {
	const message = "model %q has no task, and takes tensors instead of images: POST /v2/models/%s/infer"
	if v.entry.Undefined != nil {
		return apierror.New(apierror.InvalidParameter, message+"; its definition cannot be inferred, and a model.yaml would say it", v.model, v.model)
	}
	return apierror.New(apierror.InvalidParameter, message, v.model, v.model)
}
