package repository

import "testing"

// TestKnownScaleIsNotDoubted is about an untrained detector, whose scores do not depend on the image, of a known exporter.
func TestKnownScaleIsNotDoubted(t *testing.T) {
	inferred := &Inferred{Origins: []Origin{{Key: "input.scale", Value: "1", From: "metadata"}, {Key: "input.mean", Value: "0", From: "usual", Assumed: true}}}
	const doubt = "input.scale: with input.scale: 1, scores hardly depended on the image"
	for name, test := range map[string]struct {
		inferred *Inferred
		warning  string
		want     bool
	}{
		"the exporter's scale": {inferred, doubt, true},
		"a model.yaml":         {nil, doubt, false},
		"an assumed scale":     {&Inferred{Origins: []Origin{{Key: "input.scale", Assumed: true}}}, doubt, false},
		"a scale that is set":  {&Inferred{Origins: []Origin{{Key: "input.scale", From: OriginSet}}}, doubt, false},
		"a scale out of range": {inferred, "input.scale: pixels become 0 to 65025, which no usual model takes", false},
		"another key":          {inferred, "output.decode: " + doubt, false},
	} {
		if got := test.inferred.Doubts(test.warning); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
