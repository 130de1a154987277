package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// TestREADMEExample sends the README's image, whole and truncated, and expects the responses
// shown there, except for times and the request ID.
func TestREADMEExample(t *testing.T) {
	type answer struct {
		Model, Version, Device, Error, Code string
		Predictions                         []struct {
			Top []struct {
				Class int
				Label string
				Score float64
			}
		}
		Timing map[string]float64
	}
	readme, err := os.ReadFile(filepath.Join(testenv.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	request := regexp.MustCompile(`curl --data-binary @testdata/images/(\S+) -H 'Content-Type: (\S+)' 'http://127.0.0.1:8000(\S+)'`).FindSubmatch(readme)
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(readme, -1)
	if request == nil || len(blocks) != 2 {
		t.Fatalf("the README has request %q and %d answers", request, len(blocks))
	}
	p := start(t, newRepository(t)).waitReady()
	img := testenv.Image(t, string(request[1]))
	for i, body := range [][]byte{img, img[:3000]} {
		var want, got answer
		reply := p.post(string(request[3]), string(request[2]), body)
		if err := json.Unmarshal(blocks[i][1], &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(reply.body), &got); err != nil {
			t.Fatal(err)
		}
		for j := range min(len(want.Predictions), len(got.Predictions)) {
			for k := range min(len(want.Predictions[j].Top), len(got.Predictions[j].Top)) {
				w, g := &want.Predictions[j].Top[k], &got.Predictions[j].Top[k]
				if math.Abs(w.Score-g.Score) < 0.01 { // kernels differ from one CPU to the next
					w.Score = g.Score
				}
			}
		}
		for stage := range got.Timing {
			if _, ok := want.Timing[stage]; ok {
				want.Timing[stage] = got.Timing[stage]
			}
		}
		if w, g := printedJSON(t, want), printedJSON(t, got); w != g {
			t.Errorf("the README says\n%s\nthe server\n%s", w, g)
		}
	}
}

func printedJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
