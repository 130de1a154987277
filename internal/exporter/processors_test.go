package exporter

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// TestDefaultsAreThoseOfTransformers compares with what testdata/make_processors.py prints with two versions.
func TestDefaultsAreThoseOfTransformers(t *testing.T) {
	data, err := os.ReadFile("testdata/processors.json")
	if err != nil {
		t.Fatal(err)
	}
	var versions map[string]map[string]struct {
		Size       map[string]int64 `json:"size"`
		Crop       map[string]int64 `json:"crop_size"`
		Crops      bool             `json:"do_center_crop"`
		Resample   int              `json:"resample"`
		Normalizes bool             `json:"do_normalize"`
		Mean       []float64        `json:"image_mean"`
		Std        []float64        `json:"image_std"`
		Ratio      float64          `json:"crop_pct"`
		Flips      bool             `json:"do_flip_channel_order"`
		Twice      bool             `json:"include_top"`
	}
	if err := json.Unmarshal(data, &versions); err != nil {
		t.Fatal(err)
	}
	for version, kinds := range versions {
		for kind, want := range kinds {
			p := newProcessor(map[string]any{"image_processor_type": kind + "ImageProcessor"}, "file", version)
			size := target{height: want.Size["height"], width: want.Size["width"], shortest: want.Size["shortest_edge"], longest: want.Size["longest_edge"]}
			if got := p.target(); got != size {
				t.Errorf("%s of %s: size %+v, want %+v", kind, version, got, size)
			}
			crop := [2]int64{want.Crop["height"], want.Crop["width"]}
			if !want.Crops {
				crop = [2]int64{}
			}
			if h, w := p.cropSize(); [2]int64{h, w} != crop {
				t.Errorf("%s of %s: crop %d×%d, want %v", kind, version, h, w, crop)
			}
			if p.crop != want.Crop["height"] || p.filter != want.Resample || p.ratio != want.Ratio || p.flipChannels != want.Flips || p.normalizesTwice != want.Twice || p.normalizeOff == want.Normalizes {
				t.Errorf("%s of %s: %+v, want %+v", kind, version, p.defaults, want)
			}
			if n := p.normalization(); want.Normalizes && !want.Twice && (!equalChannels(n.mean, want.Mean) || !equalChannels(n.std, want.Std)) {
				t.Errorf("%s of %s: mean %v and std %v, want %v and %v", kind, version, n.mean, n.std, want.Mean, want.Std)
			}
		}
	}
	for kind := range processors {
		if _, tested := versions["4.49.0"][kind]; !tested {
			t.Errorf("%s is not in testdata/processors.json", kind)
		}
	}
}

// equalChannels compares values of channels, of which one stands for all.
func equalChannels(got, want []float64) bool {
	if len(got) == 1 {
		got = slices.Repeat(got, len(want))
	}
	return slices.Equal(got, want)
}
