package repository

import "testing"

// TestKnows is about what an exporter is known to use.
func TestKnows(t *testing.T) {
	inferred := &Inferred{Origins: []Origin{{Key: "input.scale", Value: "1", From: "metadata"}, {Key: "input.mean", Value: "0", From: "usual", Assumed: true},
		{Key: "input.std", Value: "1", From: OriginSet}}}
	for name, test := range map[string]struct {
		inferred *Inferred
		key      string
		want     bool
	}{
		"a value of the exporter": {inferred, "input.scale", true},
		"a model.yaml":            {nil, "input.scale", false},
		"an assumed value":        {inferred, "input.mean", false},
		"a value that is set":     {inferred, "input.std", false},
		"a key without a value":   {inferred, "input.color", false},
	} {
		if got := test.inferred.Knows(test.key); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
