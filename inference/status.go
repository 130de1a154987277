package inference

import (
	"errors"
	"fmt"
	"slices"

	"fovea/internal/repository"
)

// Status is one version of a model as it is now, or a model of which no version could be tried.
type Status struct {
	Name    string
	Version string // empty when no version could be tried
	State   State
	Error   string // why it failed
	// Unreadable says why the repository cannot be looked at for this model now. What is served of it goes on.
	Unreadable string
	Default    bool // of the default model
	Required   bool
	Task       repository.Task
	Input      repository.Input        // completed by the ONNX file once it is ready
	Inputs     []repository.TensorInfo // as the ONNX file declares them; nil until it is read
	Outputs    []repository.TensorInfo
	Labels     []string
	Device     string // of its sessions, such as "cpu" or "cuda:0 cuda:1"; empty until it is ready
	// PartlyCPU says that it is on a GPU and parts of it run on the CPU, for want of CUDA kernels.
	PartlyCPU bool
	// SaturatingInt8 says that sums of its int8 products may be cut off at 16 bits: see Config.SaturatingInt8.
	SaturatingInt8 bool
	Warnings       []string // what may be wrong with the definition, as trial runs at load tell
	MaxBatch       int      // rows of a batch; 0 until it is ready
	Queue          int      // images accepted and not yet answered
	MaxQueue       int
}

// Models lists every version of every model, models in the order they are listed, versions ascending.
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
	if err := m.blocked; err != nil {
		base.Unreadable = err.Error()
	} else if errors.Is(e.unread, repository.ErrUnreadable) {
		base.Unreadable = e.unread.Error()
	}
	if err := m.failure(); err != nil {
		failed := base
		failed.State, failed.Error = Failed, err.Error()
		list = append(list, failed)
	}
	versions := slices.Clone(m.versions)
	slices.SortStableFunc(versions, func(a, b *version) int { return a.number - b.number })
	for _, v := range versions {
		list = append(list, v.status(base))
	}
	return list
}

func (v *version) status(s Status) Status {
	state, _, err := v.now()
	s.Version, s.State = v.name, state
	s.Task, s.Labels = v.entry.Definition.Task, v.entry.Definition.Labels
	s.Input = v.entry.Definition.Input
	if err != nil {
		s.Error = err.Error()
	}
	if state == Ready { // what load sets is read only now; see version
		s.Input, s.Inputs, s.Outputs = v.definition.Input, v.inputs, v.outputs
		s.Device, s.PartlyCPU, s.SaturatingInt8, s.Warnings = v.device, v.partlyCPU, v.saturating, v.warnings
		s.MaxBatch = v.scheduler.lanes[0].rows
		s.Queue, s.MaxQueue = v.admission.waiting(), v.admission.bound
	}
	return s
}

// Ready lists why the engine is not ready: a device that is lost, a required model that is not ready, or none at
// all that is. It is empty when the engine is ready.
func (e *Engine) Ready() (reasons []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.broken != nil {
		reasons = append(reasons, fmt.Sprintf("device lost: %v", e.broken))
	}
	if e.closed {
		reasons = append(reasons, "draining")
	}
	ready := false
	for _, m := range e.models {
		ready = ready || len(m.served) > 0
	}
	for _, c := range e.cfg.Models {
		m := e.models[c.Name]
		if c.Required && (m == nil || len(m.served) == 0) {
			reasons = append(reasons, "model "+c.Name+": "+m.reason())
		}
	}
	if !ready {
		reasons = append(reasons, "no model is ready")
		if e.listed && e.unread == nil && len(e.order)+len(e.strays) == 0 {
			reasons = append(reasons, "there is no model in "+e.repo.Dir()+": looked for NAME/model.yaml with NAME/1/model.onnx")
		}
		for _, err := range e.strays {
			reasons = append(reasons, err.Error())
		}
	}
	return reasons
}

// failure is why there is a model without a version that could be tried, or with other versions than it should have.
func (m *model) failure() error {
	if m.err == nil && len(m.served) == 0 {
		return m.blocked
	}
	return m.err
}

// reason says why a model is not ready. A nil model has not been looked for yet.
func (m *model) reason() string {
	if m == nil {
		return "not loaded yet"
	}
	if err := m.failure(); err != nil {
		return err.Error()
	}
	for _, v := range m.versions {
		if state, _, err := v.now(); err != nil {
			return "version " + v.name + ": " + err.Error()
		} else if state == Loading {
			return "loading"
		}
	}
	return "not loaded yet"
}
