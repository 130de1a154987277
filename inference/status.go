package inference

import (
	"errors"
	"fmt"
	"slices"

	"fovea/internal/repository"
)

// Status is the status of one version of a model, or of a model of which no version could be tried.
type Status struct {
	Name    string
	Version string // empty when no version could be tried
	State   State
	Error   string // why it failed
	Reason  string // why it is Unloaded
	// Unreadable is why the repository cannot be read for this model at the moment. Its served versions are kept.
	Unreadable string
	Default    bool // of the default model
	Required   bool
	Task       repository.Task
	// Inferred is how the definition was derived; nil for that of a model.yaml.
	Inferred  *repository.Inferred
	Undefined bool                    // it has no definition, and so no task
	Dir       string                  // the model's folder, or its file
	Source    string                  // URL that the weights come from; empty: they were installed by hand
	Input     repository.Input        // completed from the ONNX file once it is ready
	Output    repository.Output       // the same
	Inputs    []repository.TensorInfo // as sessions take them: those of the ONNX file, but pixels with normalize: graph; nil until it is read
	Outputs   []repository.TensorInfo
	Labels    []string
	Device    string // of its sessions, such as "cpu" or "cuda:0 cuda:1"; empty until it is ready
	// PartlyCPU: it is on a GPU, and parts of it run on the CPU because there are no CUDA kernels for them.
	PartlyCPU bool
	// SaturatingInt8: int8 sums may saturate at 16 bits; see Config.SaturatingInt8.
	SaturatingInt8 bool
	Warnings       []string      // what may be wrong with the definition, from trial runs at load
	Doubts         []string      // those of Warnings whose only reason is that scores hardly depended on the image
	Engines        *EngineStatus // of TensorRT; nil: it is on no device with it
	MaxBatch       int           // rows of a batch; 0 until it is ready
	Gate           *GateResult   // how it did on the images of its gate; nil: it was not judged
	Queue          int           // images accepted and not yet answered
	MaxQueue       int
	Memory         int64                     // bytes of its weights and batches on all devices
	Steps          []repository.PipelineStep // of a pipeline
}

// Models lists every version of every model: models in the order of the configuration or the repository, versions ascending.
func (e *Engine) Models() []Status {
	e.mu.RLock()
	defer e.mu.RUnlock()
	names := slices.Clone(e.order)
	for name := range e.models {
		if !slices.Contains(names, name) { // being unloaded
			names = append(names, name)
		}
	}
	slices.Sort(names[len(e.order):])
	var list []Status
	for _, name := range names {
		list = append(list, e.statuses(e.models[name])...)
	}
	return list
}

func (e *Engine) statuses(m *model) (list []Status) {
	base := Status{Name: m.name, Default: m.name == e.defaultName(), Required: e.cfg.required(m.name)}
	if err := m.unreadable; err != nil {
		base.Unreadable = err.Error()
	} else if errors.Is(e.repoErr, repository.ErrUnreadable) {
		base.Unreadable = e.repoErr.Error()
	}
	if err := m.failure(); err != nil {
		failed := base
		failed.State, failed.Error = Failed, err.Error()
		list = append(list, failed)
	}
	if m.pipeline != nil {
		list = append(list, m.pipelineStatus(base))
	}
	for _, v := range slices.SortedStableFunc(slices.Values(m.versions), byNumber) {
		list = append(list, v.status(base))
	}
	return append(list, m.absentStatus(base)...)
}

func (v *version) status(s Status) Status {
	state, err := v.current()
	s = describeEntry(s, v.entry)
	s.Version, s.State = v.name, state
	for _, n := range v.memory {
		s.Memory += n
	}
	s.Gate = v.gateStatus(err)
	if err != nil {
		s.Error = err.Error()
	}
	if state == Ready { // see version: before, load may be writing these
		s.Input, s.Output, s.Inputs, s.Outputs = v.definition.Input, v.definition.Output, v.inputs, v.outputs
		s.Device, s.PartlyCPU, s.SaturatingInt8, s.Warnings, s.Doubts = v.device, v.partlyCPU, v.saturating, v.warnings, v.doubts
		s.Engines = v.engines.status()
		s.MaxBatch = slices.Max(v.groups[0].Buckets())
		s.Queue, s.MaxQueue = v.queue.len(), v.queue.bound
	}
	return s
}

// Ready lists why the engine is not ready: a lost device, a required model that is not ready, or no ready model at all. It
// is empty when the engine is ready.
func (e *Engine) Ready() (reasons []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.lost != nil {
		reasons = append(reasons, fmt.Sprintf("device lost: %v", e.lost))
	}
	if e.closed {
		reasons = append(reasons, "draining")
	}
	ready := false
	for _, m := range e.models {
		ready = ready || m.isReady() || m.onDemand()
	}
	for _, c := range e.cfg.Models {
		m := e.models[c.Name]
		if c.Required && (m == nil || !m.isReady()) {
			reasons = append(reasons, "model "+c.Name+": "+m.reason())
		}
	}
	if !ready {
		reasons = append(reasons, "no model is ready")
		if e.listed && e.repoErr == nil && len(e.order)+len(e.misplaced) == 0 {
			reasons = append(reasons, "no model found in "+e.repo.Dir()+": expected NAME/1/model.onnx, which serve models add puts there")
		}
		for _, err := range e.misplaced {
			reasons = append(reasons, err.Error())
		}
	}
	return reasons
}

// failure is why a model has no version that could be tried, or not the versions that it should have.
func (m *model) failure() error {
	if m.err == nil && len(m.served) == 0 {
		return m.unreadable
	}
	return m.err
}

// reason says why a model is not ready. A nil model has not been listed yet.
func (m *model) reason() string {
	if m == nil {
		return "not loaded yet"
	}
	if err := m.failure(); err != nil {
		return err.Error()
	}
	if m.pipeline != nil {
		return oneLine(m.pipeline.err)
	}
	for _, v := range m.versions {
		if state, err := v.current(); err != nil {
			return "version " + v.name + ": " + err.Error()
		} else if state == Loading {
			return "loading"
		}
	}
	return "not loaded yet"
}
