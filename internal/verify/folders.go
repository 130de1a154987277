package verify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Folders are the classes that the folders of images are named after, as in torchvision's ImageFolder: CLASS/FILE. A folder has the
// name of a label, where capitals, spaces, hyphens and underscores make no difference, or is the number of a class.
type Folders struct {
	labels map[string]string // by their plain form
	count  int               // of classes; numbers are below
}

// NewFolders returns the classes of a model with these labels. Without any, folders are numbers.
func NewFolders(labels []string) *Folders {
	f := &Folders{labels: map[string]string{}, count: len(labels)}
	if len(labels) == 0 {
		f.count = maxClass + 1
	}
	for _, label := range labels {
		if name := plainName(label); name != "" && f.labels[name] == "" {
			f.labels[name] = label
		}
	}
	return f
}

func plainName(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" \t_-", r) }), " ")
}

// Of returns the class of an image, whose path is relative to the folder of images: that of its first folder. It is false if that is
// no class.
func (f *Folders) Of(image string) (Class, bool) {
	folder, _, nested := strings.Cut(filepath.ToSlash(image), "/")
	if !nested {
		return Class{}, false
	}
	if label, ok := f.labels[plainName(folder)]; ok {
		return Class{-1, label, unknown}, true
	}
	if n, err := strconv.Atoi(folder); err == nil && n >= 0 && n < f.count {
		return Class{n, "", unknown}, true
	}
	return Class{}, false
}

// Right reports whether the best class of an answer, which may be nil, is a class that Of has returned.
func (f *Folders) Right(class Class, a *Answer) bool {
	if a == nil || len(a.Classes) == 0 {
		return false
	}
	best := a.Classes[0]
	if class.Label != "" {
		return plainName(best.Label) == plainName(class.Label)
	}
	return best.Number == class.Number
}

// Accuracy is the share of images whose best class is that of their folder. An image without a prediction is wrong.
type Accuracy struct {
	Images   int     `json:"images"`  // whose folder is a class
	Unnamed  int     `json:"unnamed"` // whose folder is none; they do not count
	Accuracy float64 `json:"accuracy"`
	// Against is that of what is expected, and Drop by how much Accuracy is below; nil if the expected classes are those of the folders.
	Against *float64 `json:"against,omitempty"`
	Drop    *float64 `json:"drop,omitempty"`
}

// measure returns how accurate answers are, and what is expected; nil if no folder is a class.
func (f *Folders) measure(images []string, outcomes []outcome, e *Expected) *Accuracy {
	a := &Accuracy{}
	right, expected := 0, 0
	for i, image := range images {
		class, ok := f.Of(image)
		if !ok {
			a.Unnamed++
			continue
		}
		a.Images++
		if outcomes[i].err == nil && f.Right(class, outcomes[i].answer) {
			right++
		}
		if want, _ := e.For(image); f.Right(class, want) {
			expected++
		}
	}
	if a.Images == 0 {
		return nil
	}
	a.Accuracy = share(right, a.Images)
	if e.Format != byFolders {
		against := share(expected, a.Images)
		drop := against - a.Accuracy
		a.Against, a.Drop = &against, &drop
	}
	return a
}

// byFolders is the format of classes that are those of folders.
const byFolders = "the classes of the folders"

// Expected expects of each image the class of its folder. Images whose folder is none have no answer. The error says so if all are
// without.
func (f *Folders) Expected(images []string) (*Expected, error) {
	e := &Expected{Format: byFolders}
	for _, image := range images {
		if class, ok := f.Of(image); ok {
			e.answer(filepath.ToSlash(image)).Classes = []Class{class}
		}
	}
	if len(e.names) == 0 {
		return nil, errors.New("no folder of images is named like a label; want CLASS/FILE, or say what is expected")
	}
	return e, nil
}

// Predicted returns a model's predictions as what is expected of another. name is what reports call it. Images that it fails on
// are not compared; the error says why if it fails on all of them.
func Predicted(ctx context.Context, name string, detection bool, images []string, predict Predict, workers int) (*Expected, error) {
	o := Options{Workers: workers}
	outcomes, err := o.predict(ctx, predict, images)
	if err != nil {
		return nil, err
	}
	e := &Expected{Format: name, Detection: detection}
	for i, image := range images {
		if outcomes[i].err != nil {
			err = outcomes[i].err
			continue
		}
		*e.answer(filepath.ToSlash(image)) = *outcomes[i].answer
	}
	if len(e.names) == 0 && err != nil {
		return nil, fmt.Errorf("%s predicts none of the images: %w", name, err)
	}
	return e, nil
}

// Spread takes n elements of a list at even distances, or all if there are no more or n is 0.
func Spread[T any](list []T, n int) []T {
	if n <= 0 || n >= len(list) {
		return slices.Clone(list)
	}
	return spread(list, n)
}
