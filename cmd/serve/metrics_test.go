package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestMetricsOfOneImage wants one image in every metric that it passes.
func TestMetricsOfOneImage(t *testing.T) {
	p := start(t, newRepository(t)).waitReady()
	p.good()
	metrics := p.get("/metrics").body
	labels := `model="` + model + `",version="1"`
	lines := []string{
		`fovea_requests_total{model="` + model + `",status="200",version="1"} 1`,
		`fovea_request_duration_seconds_count{` + labels + `} 1`,
		`fovea_request_duration_seconds_bucket{` + labels + `,le="0.005"}`,
		`fovea_batch_size_bucket{` + labels + `,le="1"} `,
		`fovea_queue_depth{` + labels + `} 0`,
		`fovea_images_total{code="ok",model="` + model + `"} 1`,
		`fovea_model_ready{device="cpu",` + labels + `} 1`,
		`fovea_build_info{go_version="go`,
	}
	for _, stage := range []string{"queue", "decode", "preprocess", "infer", "postprocess"} {
		lines = append(lines, `fovea_stage_duration_seconds_count{model="`+model+`",stage="`+stage+`",version="1"} 1`)
	}
	for _, line := range lines {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s", line)
		}
	}
	if regexp.MustCompile(`(?m)^fovea_rejected_total\{`).MatchString(metrics) {
		t.Error("something was rejected")
	}
	if t.Failed() {
		t.Log(metrics)
	}
}
