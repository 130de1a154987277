package inference

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fovea/inference/pipeline"
)

// updatePipelines builds all pipelines from what is served now, and logs those that become ready or are no more. The caller holds mu.
func (e *Engine) updatePipelines() {
	b := &pipelineBuilder{engine: e, built: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(e.models)) {
		if m := e.models[name]; m.pipeline != nil {
			before, why := m.pipeline.state, m.pipeline.err
			_ = b.build(m) // it keeps the error
			e.logPipeline(m, before, why)
		}
	}
}

// logPipeline logs a change of a pipeline.
func (e *Engine) logPipeline(m *model, before State, why error) {
	p := m.pipeline
	switch {
	case p.state == Ready && before != Ready:
		e.log.Info("pipeline ready", "model", m.name)
	case p.state == Failed && (before != Failed || why == nil || why.Error() != p.err.Error()) && !e.closed:
		e.log.Warn("pipeline not ready", "model", m.name, "reason", p.err)
	}
}

// pipelineBuilder builds pipelines from the versions that are served.
type pipelineBuilder struct {
	engine *Engine
	built  map[string]bool
}

// build builds a pipeline, and the pipelines that are its models before it.
func (b *pipelineBuilder) build(m *model) error {
	p := m.pipeline
	if b.built[m.name] {
		return p.err
	}
	b.built[m.name] = true
	used, loading := map[*version]bool{}, false
	p.built, p.state = nil, Failed
	if circle := b.path(m.name, m.name, map[string]bool{}); circle != nil {
		p.err = fmt.Errorf("pipelines use each other in a circle: %s", strings.Join(append([]string{m.name}, circle...), ", "))
		return p.err
	}
	p.built, p.err = pipeline.New(p.definition, func(name string) (pipeline.Model, *pipeline.Pipeline, error) {
		model, nested, wait, err := b.resolve(name, used)
		loading = loading || wait
		return model, nested, err
	})
	p.versions = slices.Collect(maps.Keys(used))
	switch {
	case p.err == nil:
		p.state = Ready
	case loading:
		p.state = Loading
	}
	return p.err
}

// path returns the pipelines from one to another, without the first, each a model of the one before; nil if there are none.
func (b *pipelineBuilder) path(from, to string, seen map[string]bool) []string {
	m := b.engine.models[from]
	if seen[from] || m == nil || m.pipeline == nil {
		return nil
	}
	seen[from] = true
	for _, s := range m.pipeline.definition.Steps {
		if s.Model == to {
			return []string{to}
		}
		if rest := b.path(s.Model, to, seen); rest != nil {
			return append([]string{s.Model}, rest...)
		}
	}
	return nil
}

// resolve finds the model of a step, and adds the versions that it uses. wait is whether a model that is not ready is still loading.
func (b *pipelineBuilder) resolve(name string, used map[*version]bool) (_ pipeline.Model, _ *pipeline.Pipeline, wait bool, err error) {
	e := b.engine
	m := e.models[name]
	switch {
	case (m == nil || !slices.Contains(e.order, name)) && len(e.cfg.Models) > 0:
		return nil, nil, false, fmt.Errorf("inference.models does not have model %s", name)
	case m == nil || !slices.Contains(e.order, name):
		return nil, nil, false, fmt.Errorf("the repository has no model %s", name)
	case m.pipeline != nil:
		if err := b.build(m); err != nil {
			return nil, nil, m.pipeline.state == Loading, fmt.Errorf("pipeline %s: %w", name, err)
		}
		for _, v := range m.pipeline.versions {
			used[v] = true
		}
		return nil, m.pipeline.built, false, nil
	case len(m.served) == 0:
		return nil, nil, m.isLoading(), fmt.Errorf("model %s is not ready: %s", name, m.reason())
	}
	v := m.served[len(m.served)-1]
	used[v] = true
	return stepModel{v}, nil, false, nil
}

// isLoading reports whether a version is loading, or will be as soon as the model has been read.
func (m *model) isLoading() bool {
	return m.failure() == nil && (len(m.versions) == 0 || slices.ContainsFunc(m.versions, func(v *version) bool { return v.is(Loading) }))
}
