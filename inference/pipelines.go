package inference

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"fovea/inference/pipeline"
	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// PipelineVersion is the version of every pipeline: it has no weights, and its definition applies as soon as it is read.
const PipelineVersion = "1"

// pipelineModel is what a model has whose task is pipeline. Engine.mu guards it. It is ready as long as the models of its steps are.
type pipelineModel struct {
	definition *repository.Definition
	queue      *queue

	built    *pipeline.Pipeline // nil: it is not ready
	versions []*version         // that it uses, each once
	err      error              // why it is not ready
	state    State              // Ready, Loading or Failed
}

// setPipeline makes a model a pipeline, changes its definition, or with nil makes it one no more. The caller holds mu, and calls updateServed.
func (e *Engine) setPipeline(m *model, d *repository.Definition) {
	switch {
	case d == nil:
		m.pipeline = nil
	case m.pipeline == nil || !reflect.DeepEqual(m.pipeline.definition, d):
		m.pipeline = &pipelineModel{definition: d, state: Loading, queue: &queue{bound: d.Batching.Queue,
			report: func(change int) { e.obs.Queue(m.name, PipelineVersion, change) }}}
	}
}

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

// findPiped finds the models of the steps of all pipelines.
func (e *Engine) findPiped(models []repoModel) {
	piped := map[string]bool{}
	for _, read := range models {
		if d := read.pipeline(); d != nil {
			for _, s := range d.Steps {
				piped[s.Model] = true
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.piped = piped
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

// isReady reports whether a model can be used.
func (m *model) isReady() bool {
	return len(m.served) > 0 || m.pipeline != nil && m.pipeline.state == Ready
}

// stepModel is a version as a pipeline uses it.
type stepModel struct{ v *version }

// Definition implements pipeline.Model.
func (s stepModel) Definition() *repository.Definition { return &s.v.definition }

// Rows implements pipeline.Model: as many as run, as many as are packed meanwhile, and one that waits.
func (s stepModel) Rows() int {
	rows := 1
	for i, g := range s.v.info.Instances {
		rows += 2 * g.Count * slices.Max(s.v.groups[i].Buckets())
	}
	return min(rows, s.v.queue.bound)
}

// Predict implements pipeline.Model.
func (s stepModel) Predict(ctx context.Context, pixels pipeline.Pixels, p postprocess.Params) (postprocess.Prediction, pipeline.Timing, error) {
	from := clientOf(ctx)
	response, err := s.v.respond(ctx, Request{Pixels: pixels, Params: p, Client: from.Client, ClientShare: from.ClientShare})
	if err != nil {
		return nil, pipeline.Timing{}, err
	}
	t := response.Timing
	return response.Prediction, pipeline.Timing{Queue: t.Queue, Crop: t.Decode, Preprocess: t.Preprocess, Infer: t.Infer, Postprocess: t.Postprocess}, nil
}

// clientKey is the key in a context of the request whose client the images of a pipeline are counted for.
type clientKey struct{}

func clientOf(ctx context.Context) Request {
	r, _ := ctx.Value(clientKey{}).(Request)
	return r
}

// usedPipeline is a pipeline that a request uses. The versions of its models are not unloaded before close.
type usedPipeline struct {
	name     string
	built    *pipeline.Pipeline
	versions []*version
	queue    *queue
}

// acquirePipeline returns the pipeline of that name, nil if the model is none. It must be closed.
func (e *Engine) acquirePipeline(name, number string) (*usedPipeline, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m, err := e.find(name)
	if err != nil || m.pipeline == nil {
		return nil, err
	}
	p := m.pipeline
	switch {
	case number != "" && number != PipelineVersion:
		return nil, apierror.New(apierror.ModelNotFound, "model %q has no version %q; available: %s", m.name, number, PipelineVersion)
	case p.state != Ready:
		return nil, apierror.New(apierror.NotReady, "pipeline %q is not ready: %s", m.name, oneLine(p.err))
	}
	for _, v := range p.versions {
		v.use()
	}
	return &usedPipeline{m.name, p.built, p.versions, p.queue}, nil
}

// oneLine is the text of an error that may have several lines.
func oneLine(err error) string {
	if err == nil {
		return "loading"
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func (u *usedPipeline) close() {
	for _, v := range u.versions {
		v.done()
	}
}

// predictPipeline answers an image with a pipeline, and counts it.
func (e *Engine) predictPipeline(ctx context.Context, u *usedPipeline, r Request) (*Response, error) {
	response := &Response{Model: u.name, Version: PipelineVersion, Device: u.devices()}
	if err := panics.Catch(func() error { return e.answerPipeline(ctx, u, r, response) }); err != nil {
		apiErr := apierror.From(err)
		e.obs.Rejected(u.name, string(apiErr.Code))
		return nil, apiErr
	}
	e.obs.Stage(u.name, PipelineVersion, StageQueue, response.Timing.Queue)
	e.obs.Stage(u.name, PipelineVersion, StageDecode, response.Timing.Decode)
	for _, s := range response.Steps {
		response.Timing.add(s.Timing)
	}
	return response, nil
}

// add adds the stages of a step.
func (t *Timing) add(s pipeline.Timing) {
	t.Queue += s.Queue
	t.Preprocess += s.Crop + s.Preprocess
	t.Infer += s.Infer
	t.Postprocess += s.Postprocess
}

// devices lists the devices of the models.
func (u *usedPipeline) devices() string {
	var list []string
	for _, v := range u.versions {
		if !slices.Contains(list, v.device) {
			list = append(list, v.device)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// answerPipeline passes the gates of a pipeline: its queue, the turn of large images, the memory of decoded images, and a worker. The images of
// its steps pass those of their models.
func (e *Engine) answerPipeline(ctx context.Context, u *usedPipeline, r Request, response *Response) error {
	if err := noParameters(&r); err != nil {
		return err
	}
	if err := u.queue.enter(1, r.Client, r.ClientShare); err != nil {
		return err
	}
	defer u.queue.leave(1, r.Client)
	img, free, err := e.decodeWhole(ctx, r, &response.Timing)
	if err != nil {
		return err
	}
	defer free()
	if r.Decoded != nil {
		r.Decoded()
	}
	ctx = context.WithValue(ctx, clientKey{}, Request{Client: r.Client, ClientShare: r.ClientShare})
	piped, steps, err := u.built.Run(ctx, img, e.withWorker)
	if err != nil {
		return err
	}
	response.Prediction, response.Steps = piped, steps
	return nil
}

// noParameters refuses parameters of a request, as none says which step it is for.
func noParameters(r *Request) error {
	if p := &r.Params; r.Tiles.first() != "" || p.TopK != 0 || p.Score != nil || p.IoU != nil || len(p.Classes) > 0 || p.MaxBoxes != 0 || p.Encoding != "" {
		return apierror.New(apierror.InvalidParameter, "a pipeline takes no parameters but annotate; its definition has those of its steps")
	}
	return nil
}

// decodeWhole decodes the image of a request for a pipeline. free must be called.
func (e *Engine) decodeWhole(ctx context.Context, r Request, timing *Timing) (img *preprocess.Image, free func(), err error) {
	if r.Row != nil {
		return nil, nil, apierror.New(apierror.InvalidParameter, "a pipeline takes images, not rows")
	}
	watch := newStopwatch(ctx, timing)
	info, err := header.Read(r.Image, e.limits)
	if err != nil {
		return nil, nil, err
	}
	watch.lap(StageDecode, &watch.Decode)
	pixels := e.pixels.weigh(info)
	if err := e.pixels.Acquire(ctx, pixels); err != nil {
		return nil, nil, err
	}
	work, err := e.workers.enter(ctx, info.Estimate(len(r.Image)))
	if err == nil {
		defer work.leave() // the images of the steps are counted from here on
		if err = work.acquire(ctx); err == nil {
			watch.Queue = r.Waited
			watch.lap(StageQueue, &watch.Queue)
			img, err = preprocess.DecodeWhole(ctx, r.Image, info)
		}
	}
	if err != nil {
		e.pixels.Release(pixels)
		return nil, nil, err
	}
	watch.lap(StageDecode, &watch.Decode)
	return img, func() {
		img.Close()
		e.pixels.Release(pixels)
	}, nil
}

// withWorker does what computes, while a worker is held.
func (e *Engine) withWorker(ctx context.Context, do func() error) error {
	work, err := e.workers.enter(ctx, 0)
	if err != nil {
		return err
	}
	defer work.leave()
	if err := work.acquire(ctx); err != nil {
		return err
	}
	return do()
}

// pipelineStatus is the status of a pipeline.
func (m *model) pipelineStatus(s Status) Status {
	p := m.pipeline
	s.Version, s.State, s.Task, s.Steps = PipelineVersion, p.state, repository.Pipeline, p.definition.Steps
	s.Queue, s.MaxQueue = p.queue.len(), p.queue.bound
	if p.err != nil && p.state == Failed {
		s.Error = p.err.Error()
	}
	if p.state == Ready {
		u := usedPipeline{versions: p.versions}
		s.Device = u.devices()
	}
	return s
}

// isPipeline is the API error of a request that only models with weights can answer.
func isPipeline(name string) error {
	return apierror.New(apierror.InvalidParameter, "model %q is a pipeline, and takes images only: POST /v1/models/%s/predict", name, name)
}

// errPipelineLoading is why a pipeline is not ready whose models are loading.
var errPipelineLoading = errors.New("the models of its steps are still loading")

// failure is why a pipeline is not ready. loading is the cause while its models load.
func (p *pipelineModel) failure(loading error) error {
	if p.state == Loading {
		return fmt.Errorf("%w: %w", errPipelineLoading, loading)
	}
	return p.err
}

// A pipeline keeps its image in memory until all steps are done. Together these have as many pixels as the largest image that is allowed, or
// keptPerWorker for each worker.
const keptPerWorker = 8_000_000
