package repository

import (
	"strings"
	"testing"
)

func TestTilesOfDefinitions(t *testing.T) {
	parsed := func(text string) Tiles {
		d, err := parseFile([]byte("task: detection\noutput: {decode: yolo}\n"+text), "m.yaml")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return d.Tiles
	}
	for what, c := range map[string]struct {
		text string
		want Tiles
	}{
		"none":             {"", Tiles{Overlap: 0.2, Threshold: 0.5, WholeImage: true, Max: 256}},
		"a size":           {"tiles: {size: 640}", Tiles{Size: TileSize{640, 640}, Overlap: 0.2, Threshold: 0.5, WholeImage: true, Max: 256}},
		"a width, height":  {"tiles: {size: 640x480, overlap: 0, merge: nms, merge_metric: iou, merge_threshold: 1, whole_image: false, max: 4096}", Tiles{TileSize{640, 480}, 0, "nms", "iou", 1, false, 4096}},
		"an explicit none": {"tiles: {size: none}", Tiles{Overlap: 0.2, Threshold: 0.5, WholeImage: true, Max: 256}},
	} {
		if got := parsed(c.text); got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
	for what, c := range map[string]struct{ text, want string }{
		"a small size":                 {"tiles: {size: 31}", `"31" is out of range: each side may have 32–32768 pixels`},
		"a large size":                 {"tiles: {size: 32769}", "out of range"},
		"three sides":                  {"tiles: {size: 64x64x64}", "neither a number of pixels such as 640"},
		"an overlap of 1":              {"tiles: {overlap: 1}", "tiles.overlap: 1 is out of range (0–<1)"},
		"an overlap that is no number": {"tiles: {overlap: .nan}", "tiles.overlap"},
		"another merge":                {"tiles: {merge: wbf}", "tiles.merge: "},
		"another metric":               {"tiles: {merge_metric: giou}", "tiles.merge_metric: "},
		"a threshold of 0":             {"tiles: {merge_threshold: 0}", "tiles.merge_threshold: 0 is out of range (>0–1)"},
		"no tiles at most":             {"tiles: {max: 0}", "tiles.max: 0 is out of range (1–4096)"},
		"an unknown key":               {"tiles: {width: 640}", "tiles.width"},
	} {
		_, err := parseFile([]byte("task: detection\noutput: {decode: yolo}\n"+c.text), "m.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	for what, c := range map[string]struct{ text, want string }{
		"a classifier":            {"task: classification\noutput: {decode: softmax}\ntiles: {size: 640}", "tiles: only applies with a task that finds objects: detection, oriented_detection, instance_segmentation, pose"},
		"no task":                 {"task: none\ntiles: {max: 5}", "tiles: only applies with"},
		"rotated boxes that grow": {"task: oriented_detection\noutput: {decode: yolo}\ntiles: {merge: greedy_nmm}", "tiles.merge: greedy_nmm does not apply with task: oriented_detection; allowed: nms"},
		"boxes with points, too":  {"task: pose\noutput: {decode: yunet}\ntiles: {merge: nmm}", "tiles.merge: nmm does not apply with task: pose; allowed: nms"},
	} {
		_, err := parseFile([]byte(c.text), "m.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func TestMergeOf(t *testing.T) {
	for what, c := range map[string]struct {
		tiles         Tiles
		task          Task
		score         float64
		merge, metric string
	}{
		"boxes":                      {Tiles{}, Detection, 0.1, MergeGreedyNMM, MetricIOS},
		"masks":                      {Tiles{}, InstanceSegmentation, 0.3, MergeGreedyNMM, MetricIOS},
		"rotated boxes":              {Tiles{}, OrientedDetection, 0.3, MergeNMS, MetricIOS},
		"points":                     {Tiles{}, Pose, 0.3, MergeNMS, MetricIOS},
		"low scores":                 {Tiles{}, Detection, 0.09, MergeNMS, MetricIOU},
		"low scores, a given merge":  {Tiles{Merge: MergeNMM}, Detection, 0, MergeNMM, MetricIOS},
		"low scores, a given metric": {Tiles{Metric: MetricIOS}, Detection, 0, MergeNMS, MetricIOS},
		"what is given":              {Tiles{Merge: MergeNMS, Metric: MetricIOU}, Detection, 0.3, MergeNMS, MetricIOU},
	} {
		if merge, metric := c.tiles.MergeOf(c.task, c.score); merge != c.merge || metric != c.metric {
			t.Errorf("%s: %s by %s, want %s by %s", what, merge, metric, c.merge, c.metric)
		}
	}
}

func FuzzTileSize(f *testing.F) {
	for _, seed := range []string{"640", "640x480", "none", "0", "32768x32", "x", "1e3", "640X480", "99999999999999999999x64"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again TileSize
		if size.UnmarshalText([]byte(text)) != nil {
			return
		}
		if again.UnmarshalText([]byte(size.String())) != nil || again != size || !size.IsZero() && (min(size.Width, size.Height) < minTile || max(size.Width, size.Height) > maxTile) {
			t.Errorf("%q is %v, which is read as %v", text, size, again)
		}
	})
}
