package inference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/internal/verify"
)

// The reasons of GateError.
const (
	RefusedMinAccuracy  = "min_accuracy"  // below versions.gate.min_accuracy
	RefusedMaxDrop      = "max_drop"      // further below the served version than versions.gate.max_drop
	RefusedMinAgreement = "min_agreement" // below versions.gate.min_agreement
	NotJudged           = "not_judged"    // the images cannot be read, or it takes too long
)

// gateTopK is how many classes of a prediction are compared.
const gateTopK = 5

// GateResult is how a version did on the held-out images of its model's gate.
type GateResult struct {
	Images  int    // that were compared
	Against string // the version that was served; empty: none
	// Accuracy is the share of the images in folders named like labels that have that class; nil if the gate does not ask for it.
	Accuracy       *float64
	ServedAccuracy *float64 // of the served version; nil without one
	Agreement      *float64 // with the served version's predictions; nil if the gate does not ask for it
	Reason         string   // why the version is refused, one of the constants; empty: it passed
}

// GateError is why a version did not pass its gate.
type GateError struct {
	Result GateResult
	err    error
}

// Error says which value is beyond which limit, or why there is none.
func (g *GateError) Error() string { return g.err.Error() }

// Unwrap returns the cause.
func (g *GateError) Unwrap() error { return g.err }

// passGate judges a loaded version by its gate, if it has one, and frees what it loaded unless it passes. It ends with the version's
// load context.
func (e *Engine) passGate(m *model, v *version) error {
	if v.gate == "" {
		return nil
	}
	err := panics.Catch(func() error { return e.judge(m, v) })
	if err != nil {
		if v.loadCtx.Err() != nil {
			err = context.Cause(v.loadCtx)
		}
		err = errors.Join(err, v.close())
		e.freed(v)
	}
	return err
}

// judge compares a version with the limits of its gate and with the version that is served. A version that is older than the served
// one is not judged, since the newer one was removed on purpose.
func (e *Engine) judge(m *model, v *version) error {
	gate := v.entry.Definition.Versions.Gate
	served := e.acquireServed(m)
	if served != nil {
		defer served.done()
	}
	if served != nil && served.Number > v.Number || served == nil && gate.MinAccuracy == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(v.loadCtx, gate.Timeout, fmt.Errorf("not judged within versions.gate.timeout, %s", gate.Timeout))
	defer cancel()
	j := &judging{version: v, served: served, gate: gate, folders: verify.NewFolders(v.definition.Labels)}
	if err := j.run(ctx); err != nil {
		return &GateError{Result: GateResult{Images: j.compared, Against: j.against(), Reason: NotJudged}, err: err}
	}
	result, err := j.verdict()
	v.setGate(&result)
	if err != nil {
		return &GateError{result, err}
	}
	v.shared.log.Info("version passed its gate", append([]any{"model", v.model, "version", v.name}, result.attributes()...)...)
	return nil
}

// acquireServed is the highest version that a model serves, counted as in use; nil without any.
func (e *Engine) acquireServed(m *model) *version {
	e.mu.RLock()
	defer e.mu.RUnlock()
	served, err := m.find("")
	if err != nil || e.closed {
		return nil
	}
	served.use()
	return served
}

// judging is the comparison of a version with the served one, which may be nil.
type judging struct {
	version, served *version
	gate            repository.Gate
	folders         *verify.Folders

	got, want   *version // version and served, each with a separate queue
	compared    int
	named       int // images whose folder is a class
	right       int // of these, by version
	servedRight int
	pairs       []verify.Pair
}

func (j *judging) against() string {
	if j.served == nil {
		return ""
	}
	return j.served.name
}

// run predicts the images, one at a time.
func (j *judging) run(ctx context.Context) (err error) {
	if j.got, err = j.version.with(fewClasses); err != nil {
		return err
	}
	if j.served != nil {
		if j.want, err = j.served.with(fewClasses); err != nil {
			return err
		}
	}
	folder, err := unlessDone(ctx, j.version.entry.GateImages)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // of reading
	images, err := j.choose(folder.Names)
	if err != nil {
		return err
	}
	for _, image := range images {
		data, err := unlessDone(ctx, func() ([]byte, error) { return folder.Read(image) })
		if err != nil {
			return err
		}
		if err := j.compare(ctx, image, data); err != nil {
			return err
		}
	}
	return nil
}

// fewClasses sets how many classes are predicted.
func fewClasses(d *repository.Definition) {
	if d.Task == repository.Classification {
		d.Output.TopK = gateTopK
	}
}

// choose takes the images that are compared: those whose folder is a class, if the gate needs to know it.
func (j *judging) choose(names []string) ([]string, error) {
	images := names
	if j.gate.ByClass() {
		images = nil
		for _, name := range names {
			if _, ok := j.folders.Of(name); ok {
				images = append(images, name)
			}
		}
	}
	if len(images) < repository.MinGateImages {
		return nil, fmt.Errorf("versions.gate.images: %s has %d images, of which %d can be compared; want at least %d, in folders named like labels",
			j.gate.Images, len(names), len(images), repository.MinGateImages)
	}
	return verify.Spread(images, j.gate.Limit), nil
}

// compare predicts an image with both versions. Images that neither can predict do not count.
func (j *judging) compare(ctx context.Context, image string, data []byte) error {
	got, err := j.predict(ctx, j.got, data)
	if err != nil {
		return err
	}
	var want *verify.Answer
	if j.want != nil {
		if want, err = j.predict(ctx, j.want, data); err != nil {
			return err
		}
	}
	if got == nil && want == nil && j.want != nil {
		return nil
	}
	j.compared++
	if class, ok := j.folders.Of(image); ok {
		j.named++
		if j.folders.Right(class, got) {
			j.right++
		}
		if j.folders.Right(class, want) {
			j.servedRight++
		}
	}
	if j.gate.MinAgreement > 0 && j.want != nil {
		j.pairs = append(j.pairs, verify.Pair{Image: image, Want: want, Got: got})
	}
	return nil
}

// predict is nil for an image that the version fails on. It waits for spare workers, so that requests go first.
func (j *judging) predict(ctx context.Context, v *version, image []byte) (*verify.Answer, error) {
	if err := v.shared.workers.spare(ctx, gatePatience); err != nil {
		return nil, err
	}
	response, err := v.predict(ctx, Request{Image: image}, nil)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case onnx.IsDeviceLost(err):
		return nil, err
	case err != nil:
		return nil, nil //nolint:nilerr,nilnil // it counts as a wrong prediction
	}
	return AnswerOf(response.Prediction), nil
}

// verdict says whether the version passes.
func (j *judging) verdict() (r GateResult, err error) {
	r.Images, r.Against = j.compared, j.against()
	if j.compared < repository.MinGateImages {
		r.Reason = NotJudged
		return r, fmt.Errorf("versions.gate.images: only %d images can be decoded; want at least %d", j.compared, repository.MinGateImages)
	}
	var errs []error
	refuse := func(reason, format string, args ...any) {
		if r.Reason == "" {
			r.Reason = reason
		}
		errs = append(errs, fmt.Errorf("refused by versions.gate: "+format, args...))
	}
	share := func(n int) *float64 {
		value := float64(n) / float64(max(1, j.named))
		return &value
	}
	if j.gate.ByClass() {
		r.Accuracy = share(j.right)
		if *r.Accuracy < j.gate.MinAccuracy {
			refuse(RefusedMinAccuracy, "the accuracy %.4f on %d images is below min_accuracy %g", *r.Accuracy, j.named, j.gate.MinAccuracy)
		}
	}
	if j.gate.ByClass() && j.served != nil {
		r.ServedAccuracy = share(j.servedRight)
		if drop := *share(j.servedRight - j.right); j.gate.HasMaxDrop && drop > j.gate.MaxDrop {
			refuse(RefusedMaxDrop, "the accuracy %.4f on %d images is %.4f below that of version %s, %.4f; max_drop is %g",
				*r.Accuracy, j.named, drop, j.served.name, *r.ServedAccuracy, j.gate.MaxDrop)
		}
	}
	if j.gate.MinAgreement > 0 && j.served != nil {
		agreement := verify.Compare(j.version.definition, verify.DefaultTolerance(), j.pairs).Agreement
		r.Agreement = &agreement
		if agreement < j.gate.MinAgreement {
			refuse(RefusedMinAgreement, "the agreement with version %s is %.4f on %d images, below min_agreement %g",
				j.served.name, agreement, j.compared, j.gate.MinAgreement)
		}
	}
	return r, errors.Join(errs...)
}

// attributes are those of a log record.
func (r GateResult) attributes() []any {
	list := []any{"images", r.Images}
	if r.Against != "" {
		list = append(list, "against", r.Against)
	}
	for name, value := range r.Measures() {
		list = append(list, name, fmt.Sprintf("%.4f", value))
	}
	return list
}

// Measures are the shares that were measured, by their names in the API.
func (r GateResult) Measures() map[string]float64 {
	all := map[string]float64{}
	for name, value := range map[string]*float64{"accuracy": r.Accuracy, "served_accuracy": r.ServedAccuracy, "agreement": r.Agreement} {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

// unlessDone returns what do returns, unless ctx ends first: reading a disk of the network may take forever. do is then left behind.
func unlessDone[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return *new(T), context.Cause(ctx)
	}
}

// setGate keeps the result of the gate.
func (v *version) setGate(r *GateResult) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gateResult = r
}

// gatePatience is how long an image of a gate waits for a spare worker: with a server that is never idle, 200 images and the same of
// the served version take 100 s, and a twentieth of a core.
const gatePatience = 250 * time.Millisecond

// gateStatus is the result of the gate; nil before, and without one.
func (v *version) gateStatus(err error) *GateResult {
	if refused, ok := errors.AsType[*GateError](err); ok {
		return &refused.Result
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gateResult
}
