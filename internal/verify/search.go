package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"fovea/internal/repository"
)

// Predict returns the prediction for an image, named as in Options.Images. It may be called concurrently.
type Predict func(ctx context.Context, image string) (*Answer, error)

// Options are what Run needs.
type Options struct {
	Definition repository.Definition // resolved
	Images     []string              // see Images
	Expected   *Expected
	Tolerance  Tolerance
	// MinAgreement is the agreement below which alternatives are tried.
	MinAgreement float64
	Always       bool // try alternatives in any case
	Try          int  // images that alternatives are tried with
	Limit        int  // images that are compared; 0: all
	Workers      int  // images at the same time
	// Open returns the predictions of the model with another definition, and a function that ends them, or an error if the definition
	// does not fit the model.
	Open func(repository.Definition) (Predict, func(), error)
}

// Alternative is a change of the definition and what comes of it.
type Alternative struct {
	*Change            // nil: the definition as it is
	Agreement  float64 `json:"agreement"`
	Similarity float64 `json:"similarity"`
}

// Report is what a comparison finds.
type Report struct {
	Format    string `json:"format"`              // of what is expected
	Numbering string `json:"numbering,omitempty"` // how category ids were read, where that is an assumption
	Unlisted  int    `json:"unlisted"`            // images of which nothing is expected; they are not compared
	Result
	Accuracy     *Accuracy     `json:"accuracy,omitempty"`     // nil if no folder of images is a class
	Tried        int           `json:"tried"`                  // images that alternatives were tried with
	Alternatives []Alternative `json:"alternatives,omitempty"` // the definition as it is, and changes, the most similar first
	Likely       *Alternative  `json:"likely,omitempty"`       // the change that explains the differences
	LikelyYAML   string        `json:"likely_yaml,omitempty"`  // what to write in model.yaml
}

// Run compares predictions with what is expected and, if they disagree, tries alternatives.
func Run(ctx context.Context, o Options) (*Report, error) {
	detection := o.Definition.Task.FindsObjects()
	if e := o.Expected; e.Format != "" && e.Detection != detection {
		return nil, fmt.Errorf("%s has %s, but the model's task is %s", e.Format, map[bool]string{true: "boxes", false: "classes"}[e.Detection], o.Definition.Task)
	}
	r := &Report{Format: o.Expected.Format}
	images, err := o.choose(r)
	if err != nil {
		return nil, err
	}
	predict, end, err := o.Open(o.Definition)
	if err != nil {
		return nil, err
	}
	defer end()
	answers, err := o.predict(ctx, predict, images)
	if err != nil {
		return nil, err
	}
	o.Expected, r.Numbering = o.number(images, answers)
	r.Result = *o.total(o.Definition, images, answers)
	if !detection {
		r.Accuracy = NewFolders(o.Definition.Labels).measure(images, answers, o.Expected)
	}
	if r.Matched+r.Missing+r.Extra == 0 {
		return nil, fmt.Errorf("nothing to compare: neither %s nor the model has an object in any of %d images", o.Expected.Format, r.Compared)
	}
	if o.Always || r.Agreement < o.MinAgreement {
		err = o.search(ctx, r)
	}
	return r, err
}

// choose returns the images that are compared: those of which something is expected.
func (o *Options) choose(r *Report) (images []string, err error) {
	listed := 0
	for _, image := range o.Images {
		a, ok := o.Expected.For(image)
		if ok {
			listed++
		}
		if a == nil {
			r.Unlisted++
			continue
		}
		images = append(images, image)
	}
	if names := o.Expected.Names(); listed == 0 && len(names) > 0 {
		file := "none"
		if len(o.Images) > 0 {
			file = fmt.Sprintf("%q", o.Images[0])
		}
		return nil, fmt.Errorf("no image has an expected prediction: %s names images such as %q, and the folder has %d images, the first %s",
			o.Expected.Format, names[0], len(o.Images), file)
	}
	if len(images) == 0 {
		return nil, errors.New("there are no images to compare")
	}
	return Spread(images, o.Limit), nil
}

// spread takes n elements of a list at even distances.
func spread[T any](list []T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

// outcome is the prediction for an image, or why there is none.
type outcome struct {
	answer *Answer
	err    error
}

func (o *Options) predict(ctx context.Context, predict Predict, images []string) ([]outcome, error) {
	outcomes := make([]outcome, len(images))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Workers))
	for i, image := range images {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			answer, err := predict(ctx, image)
			outcomes[i] = outcome{answer, err}
			return ctx.Err()
		})
	}
	return outcomes, group.Wait()
}

// total compares the predictions of a definition.
func (o *Options) total(d repository.Definition, images []string, outcomes []outcome) *Result {
	c := newComparer(o.Expected, d, o.Tolerance)
	results := make([]ImageResult, len(images))
	for i, image := range images {
		want, _ := o.Expected.For(image)
		if err := outcomes[i].err; err != nil {
			results[i] = failed(image, want, err)
		} else {
			results[i] = c.compare(image, want, outcomes[i].answer)
		}
	}
	return c.total(results)
}

// clearlyBetter is the similarity by which a less likely meaning of category ids must be better.
const clearlyBetter = 0.05

// number finds out how category ids are counted: the likeliest meaning, unless another is clearly more similar to the predictions.
func (o *Options) number(images []string, outcomes []outcome) (*Expected, string) {
	if o.Expected.Numbering != Category {
		return o.Expected, ""
	}
	best, name, similarity := o.Expected, "", -1.0
	names, maps := o.Expected.numberings(len(o.Definition.Labels))
	for i, f := range maps {
		try := *o
		try.Expected = o.Expected.renumbered(f)
		if s := try.total(o.Definition, images, outcomes).Similarity; s > similarity+clearlyBetter {
			best, name, similarity = try.Expected, names[i], s
		}
	}
	return best, name
}

// The limits of what explains a difference.
const (
	explains = 0.2    // of the missing similarity that a change must bring
	least    = 0.0005 // similarity that it must bring
	enough   = 0.9995 // similarity that needs no second change
)

// search tries alternatives one at a time, then the best one together with a second.
func (o *Options) search(ctx context.Context, r *Report) error {
	images := o.sample(r.Images)
	r.Tried = len(images)
	base, err := o.try(ctx, nil, images)
	if err != nil {
		return err
	}
	all, err := o.tryAll(ctx, o.changes(o.Definition), images)
	if err != nil {
		return err
	}
	r.Alternatives = append(slices.Clone(all), *base) // sorted below, unlike what best points into
	if best := most(all); best != nil && better(base, best) {
		r.Likely = best
		d := o.Definition
		best.apply(&d)
		var second []*Change
		for _, c := range o.changes(d) {
			second = append(second, best.with(c))
		}
		if best.Similarity < enough {
			pairs, err := o.tryAll(ctx, second, images)
			if err != nil {
				return err
			}
			if both := most(pairs); both != nil && better(best, both) {
				r.Likely = both
				r.Alternatives = append(r.Alternatives, *both)
			}
		}
		r.LikelyYAML = r.Likely.YAML()
	}
	slices.SortStableFunc(r.Alternatives, func(a, b Alternative) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(b.Agreement, a.Agreement))
	})
	return nil
}

// changes lists alternatives. Where the expected boxes have scores, those near a threshold do not count, and say nothing about it.
func (o *Options) changes(d repository.Definition) []*Change {
	scores := newComparer(o.Expected, d, o.Tolerance).scores
	return slices.DeleteFunc(Changes(d), func(c *Change) bool { return scores && c.Key() == "output.score_threshold" })
}

// sample takes the images that alternatives are tried with: half of them the worst, the others at even distances.
func (o *Options) sample(results []ImageResult) []string {
	rest := slices.Clone(results)
	slices.SortStableFunc(rest, func(a, b ImageResult) int { return cmp.Compare(a.agreement(), b.agreement()) })
	if n := max(1, o.Try); len(rest) > n {
		worst := rest[:(n+1)/2]
		others := slices.DeleteFunc(slices.Clone(results), func(r ImageResult) bool {
			return slices.ContainsFunc(worst, func(w ImageResult) bool { return w.Image == r.Image })
		})
		rest = append(slices.Clone(worst), spread(others, n-len(worst))...)
	}
	images := make([]string, len(rest))
	for i, r := range rest {
		images[i] = r.Image
	}
	return images
}

// try compares one alternative. It returns nil if the change does not fit the model.
func (o *Options) try(ctx context.Context, change *Change, images []string) (*Alternative, error) {
	d := o.Definition
	if change != nil {
		change.apply(&d)
	}
	predict, end, err := o.Open(d)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // most changes fit only some models
	}
	defer end()
	outcomes, err := o.predict(ctx, predict, images)
	if err != nil {
		return nil, err
	}
	t := o.total(d, images, outcomes)
	return &Alternative{change, t.Agreement, t.Similarity}, nil
}

func (o *Options) tryAll(ctx context.Context, list []*Change, images []string) (all []Alternative, err error) {
	for _, change := range list {
		a, err := o.try(ctx, change, images)
		if err != nil {
			return nil, err
		}
		if a != nil {
			all = append(all, *a)
		}
	}
	return all, nil
}

// most returns the most similar alternative, the first of several.
func most(all []Alternative) *Alternative {
	var best *Alternative
	for i := range all {
		if best == nil || all[i].Similarity > best.Similarity {
			best = &all[i]
		}
	}
	return best
}

// better reports whether a change explains differences.
func better(before, after *Alternative) bool {
	gain := after.Similarity - before.Similarity
	return gain >= least && gain >= explains*(1-before.Similarity)
}
