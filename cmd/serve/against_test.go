package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
	"fovea/internal/verify"
)

func colorsConfig(t *testing.T, dir string) Config {
	t.Helper()
	cfg := defaults()
	cfg.Repository.Dir, cfg.Inference.Library, cfg.Inference.Device = dir, testenv.ORTLibrary(t), "cpu"
	return cfg
}

func verified(t *testing.T, cfg Config, name string, change func(*verifyOptions)) (r verify.Report, text string, err error) {
	t.Helper()
	o := verifyDefaults()
	o.json = true
	change(&o)
	var out bytes.Buffer
	err = verifyModel(t.Context(), cfg, name, o, &out)
	if o.json && out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	return r, out.String(), err
}

// TestVerifyAgainstAnotherVersion has three versions, of which the second confuses two classes.
func TestVerifyAgainstAnotherVersion(t *testing.T) {
	dir := colorRepository(t, "versions: [1]\n", colorClassifier(0, 1, 2), colorClassifier(0, 2, 1), colorClassifier(0, 1, 2))
	write(t, filepath.Join(dir, "copy", "model.yaml"), []byte(colorsDefinition))
	write(t, filepath.Join(dir, "copy", "labels.txt"), []byte("red\ngreen\nblue\n"))
	write(t, filepath.Join(dir, "copy", "7", "model.onnx"), colorClassifier(0, 1, 2))
	images, flat := t.TempDir(), t.TempDir()
	colorFolders(t, images, 10)
	for name, c := range channels {
		write(t, filepath.Join(flat, name+".png"), oneColor(t, c))
	}
	cfg := colorsConfig(t, dir)
	for what, c := range map[string]struct {
		name, against, images string
		change                func(*verifyOptions)
		top1, accuracy        float64 // accuracy -1: none
		err                   string
	}{
		"the same":                        {"colors/3", "colors/1", images, nil, 1, 1, ""},
		"the served version":              {"colors", "colors/3", images, nil, 1, 1, ""},
		"another model":                   {"copy", "colors/1", images, nil, 1, 1, ""},
		"a path":                          {filepath.Join(dir, "copy", "7", "model.onnx"), "colors", images, nil, 1, 1, ""},
		"one that confuses classes":       {"colors/2", "colors/1", images, nil, 1.0 / 3, 1.0 / 3, "the agreement 0.3333 is below --min-agreement 0.95"},
		"a limit of the accuracy":         {"colors/2", "colors/1", images, func(o *verifyOptions) { o.agreement, o.accuracy, o.drop = 0, 0.5, 0.5 }, 1.0 / 3, 1.0 / 3, "the accuracy 0.3333 is below --min-accuracy 0.5\nmodels verify: the drop of the accuracy 0.6667 is above --max-drop 0.5"},
		"limits that hold":                {"colors/2", "colors/1", images, func(o *verifyOptions) { o.agreement, o.accuracy, o.drop = 0.3, 0.3, 0.67 }, 1.0 / 3, 1.0 / 3, ""},
		"a limit of the same best class":  {"colors/2", "colors/1", images, func(o *verifyOptions) { o.agreement, o.top1 = 0, 0.99 }, 1.0 / 3, 1.0 / 3, "below --min-top1 0.99"},
		"a limit of differences":          {"colors/2", "colors/1", images, func(o *verifyOptions) { o.agreement, o.difference, o.meanDifference = 0, 0.9, 0.5 }, 1.0 / 3, 1.0 / 3, "the largest difference of scores 0.9999 is above --max-difference 0.9\nmodels verify: the mean difference of scores 0.6666 is above --max-mean-difference 0.5"},
		"some of the images":              {"colors/3", "colors/1", images, func(o *verifyOptions) { o.limit = 6 }, 1, 1, ""},
		"without folders":                 {"colors/3", "colors/1", flat, nil, 1, -1, ""},
		"without folders, and a limit":    {"colors/3", "colors/1", flat, func(o *verifyOptions) { o.accuracy = 0.5 }, 1, -1, "no folder of images is named like a label"},
		"folders alone":                   {"colors/2", "", images, nil, 1.0 / 3, 1.0 / 3, ""},
		"folders alone, and a limit":      {"colors/2", "", images, func(o *verifyOptions) { o.accuracy = 0.9 }, 1.0 / 3, 1.0 / 3, "the accuracy 0.3333 is below --min-accuracy 0.9"},
		"folders alone, drop":             {"colors/3", "", images, func(o *verifyOptions) { o.drop = 0.1 }, 1, 1, "--max-drop needs --expect or --against"},
		"neither folders nor expectation": {"colors/3", "", flat, nil, -1, -1, "--images: no folder of images is named like a label"},
		"a version that is not there":     {"colors/9", "colors/1", images, nil, -1, -1, "model colors has no version 9; it has 1, 2, 3"},
		"a version twice":                 {"colors", "colors/1", images, nil, -1, -1, "is named twice"},
		"another model of that name":      {"colors", filepath.Join(dir, "colors"), images, nil, -1, -1, "another model has the name colors"},
		"a model that is not there":       {"colors", "none", images, nil, -1, -1, "there is no model none"},
		"both":                            {"colors", "colors/1", images, func(o *verifyOptions) { o.expect = images }, -1, -1, "--against: give either this or --expect"},
	} {
		t.Run(what, func(t *testing.T) {
			r, text, err := verified(t, cfg, c.name, func(o *verifyOptions) {
				o.images, o.against = c.images, c.against
				if c.change != nil {
					c.change(o)
				}
			})
			if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if c.top1 < 0 {
				return
			}
			if r.Top1 < c.top1-1e-9 || r.Top1 > c.top1+1e-9 || r.Failed > 0 {
				t.Errorf("%s", text)
			}
			if (c.accuracy < 0) != (r.Accuracy == nil) || r.Accuracy != nil && (r.Accuracy.Accuracy < c.accuracy-1e-9 || r.Accuracy.Accuracy > c.accuracy+1e-9) {
				t.Errorf("accuracy %+v, want %v", r.Accuracy, c.accuracy)
			}
		})
	}
	_, text, err := verified(t, cfg, "colors/2", func(o *verifyOptions) { o.images, o.against, o.json = images, "colors/1", false })
	for _, want := range []string{"colors version 2: 30 images compared with colors version 1", "accuracy    0.3333 of 30 images have the class of their folder; colors version 1: 1.0000, a drop of 0.6667"} {
		if err == nil || !strings.Contains(text, want) {
			t.Errorf("no %q in %s (%v)", want, text, err)
		}
	}
}

// TestVerifyAgainstFindsTheWrongKey: a version that expects blue first agrees with the other one if input.color says so.
func TestVerifyAgainstFindsTheWrongKey(t *testing.T) {
	dir := colorRepository(t, "", colorClassifier(0, 1, 2), colorClassifier(2, 1, 0))
	images := t.TempDir()
	colorFolders(t, images, 4)
	for _, against := range []string{"colors/1", ""} {
		r, text, err := verified(t, colorsConfig(t, dir), "colors/2", func(o *verifyOptions) {
			o.images, o.against, o.always, o.agreement = images, against, true, 0.9
		})
		if err == nil || r.Likely == nil || r.Likely.Key() != "input.color" || r.Likely.Lines[0].Value != "bgr" || r.Likely.Agreement != 1 {
			t.Errorf("against %q: %v\n%s", against, err, text)
		}
	}
}

// TestVerifyDetectorAgainstAnotherVersion pairs boxes.
func TestVerifyDetectorAgainstAnotherVersion(t *testing.T) {
	f := newVerifyFixture(t, randomDetector())
	f.define(t, rightDetector.yaml())
	write(t, filepath.Join(f.cfg.Repository.Dir, "model", "2", "model.onnx"), randomDetector())
	r, text, err := verified(t, f.cfg, "model/2", func(o *verifyOptions) { o.images, o.against = f.images, "model/1" })
	if err != nil || r.Agreement != 1 || r.Matched == 0 || r.MaxDifference > 1e-4 || r.Accuracy != nil {
		t.Errorf("%v\n%s", err, text)
	}
	if _, _, err := verified(t, f.cfg, "model/2", func(o *verifyOptions) { o.images = f.images }); err == nil || !strings.Contains(err.Error(), "the task of model version 2 is detection") {
		t.Errorf("without an expectation: %v", err)
	}
}
