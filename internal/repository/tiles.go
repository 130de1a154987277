package repository

import (
	"fmt"
	"strconv"
	"strings"

	"fovea/internal/config"
)

// The values of Tiles.Merge: how objects that several tiles found become one. The names and rules are those of sahi (PostprocessPredictions
// in sahi/postprocess/combine.py). NMS keeps the best; GreedyNMM also extends it to the union with those that overlap it, and NMM to those that
// overlap these.
const (
	MergeGreedyNMM = "greedy_nmm"
	MergeNMM       = "nmm"
	MergeNMS       = "nms"
)

// The values of Tiles.Metric: the intersection of two objects over the smaller one's area, or over their union.
const (
	MetricIOS = "ios"
	MetricIOU = "iou"
)

// Merges lists the values of Tiles.Merge.
func Merges() []string { return []string{MergeGreedyNMM, MergeNMM, MergeNMS} }

// MergeMetrics lists the values of Tiles.Metric.
func MergeMetrics() []string { return []string{MetricIOS, MetricIOU} }

const (
	minTile  = 32    // pixels of a tile's side: no model finds objects in less
	maxTile  = 32768 // pixels of a tile's side
	maxTiles = 4096  // of an image
)

// Tiles is how large images are predicted in parts. Without a size they are not, unless a request has one.
type Tiles struct {
	Size       TileSize `yaml:"size"`            // pixels of the image, as 640 or 640x480; none (default): images are predicted as a whole
	Overlap    float64  `yaml:"overlap"`         // the part of a tile that the next one has as well; default 0.2
	Merge      string   `yaml:"merge"`           // greedy_nmm, nmm, nms; default: see MergeOf
	Metric     string   `yaml:"merge_metric"`    // ios, iou; default: see MergeOf
	Threshold  float64  `yaml:"merge_threshold"` // the lowest metric of objects that are the same; default 0.5
	WholeImage bool     `yaml:"whole_image"`     // predict the whole image as well, for objects larger than a tile; default true
	Max        int      `yaml:"max"`             // tiles of an image; default 256
}

// TileSize is the size of a tile in pixels of the image; zero for none.
type TileSize struct{ Width, Height int }

// IsZero reports whether there are no tiles.
func (s TileSize) IsZero() bool { return s == TileSize{} }

// UnmarshalText reads one number for both sides, WIDTHxHEIGHT, or none.
func (s *TileSize) UnmarshalText(text []byte) error {
	*s = TileSize{}
	if string(text) == "none" {
		return nil
	}
	width, height, both := strings.Cut(string(text), "x")
	w, err := strconv.ParseUint(width, 10, 31)
	h := w
	if both && err == nil {
		h, err = strconv.ParseUint(height, 10, 31)
	}
	if err != nil {
		return fmt.Errorf("%.40q is neither a number of pixels such as 640, a width and a height such as 640x480, nor none", text)
	}
	if min(w, h) < minTile || max(w, h) > maxTile {
		return fmt.Errorf("%.40q is out of range: each side may have %d–%d pixels", text, minTile, maxTile)
	}
	*s = TileSize{int(w), int(h)}
	return nil
}

// String is the form that UnmarshalText reads.
func (s TileSize) String() string {
	switch {
	case s.IsZero():
		return "none"
	case s.Width == s.Height:
		return strconv.Itoa(s.Width)
	}
	return fmt.Sprintf("%dx%d", s.Width, s.Height)
}

// lowScore is the score threshold below which objects are not extended by default: the many boxes with low scores would grow together
// (LOW_MODEL_CONFIDENCE in sahi/predict.py).
const lowScore = 0.1

// MergeOf returns how objects of a task are merged, and by which metric, where their scores are at least the threshold.
func (t *Tiles) MergeOf(task Task, scoreThreshold float64) (merge, metric string) {
	merge, metric = t.Merge, t.Metric
	low := scoreThreshold < lowScore
	if merge == "" {
		merge = MergeGreedyNMM
		if low || !Extends(task) {
			merge = MergeNMS
		}
	}
	if metric == "" {
		metric = MetricIOS
		if low && merge == MergeNMS {
			metric = MetricIOU
		}
	}
	return merge, metric
}

// Extends reports whether an object of a task can be extended by others: not rotated boxes, nor the points of one.
func Extends(task Task) bool { return task == Detection || task == InstanceSegmentation }

func (t *Tiles) fill(task Task, given func(key string) bool) {
	if !task.FindsObjects() {
		return
	}
	fillValue(&t.Overlap, 0.2, given("tiles.overlap"))
	fillValue(&t.Threshold, 0.5, given("tiles.merge_threshold"))
	fillValue(&t.WholeImage, true, given("tiles.whole_image"))
	fillValue(&t.Max, 256, given("tiles.max"))
}

func (d *Definition) checkTiles(errs *config.Errors) {
	t := &d.Tiles
	if !d.Task.FindsObjects() {
		onlyWith(errs, "tiles", *t != Tiles{}, "a task that finds objects: "+ObjectTasks())
		return
	}
	if err := CheckOverlap(t.Overlap); err != nil {
		errs.Add("tiles.overlap", "%w", err)
	}
	optional(errs, "tiles.merge", t.Merge, Merges()...)
	if (t.Merge == MergeGreedyNMM || t.Merge == MergeNMM) && !Extends(d.Task) {
		notApplicable(errs, "tiles.merge", "%s does not apply with task: %s; allowed: %s", t.Merge, d.Task, MergeNMS)
	}
	optional(errs, "tiles.merge_metric", t.Metric, MergeMetrics()...)
	if err := CheckMergeThreshold(t.Threshold); err != nil {
		errs.Add("tiles.merge_threshold", "%w", err)
	}
	config.Range(errs, "tiles.max", t.Max, 1, maxTiles)
}

// CheckOverlap returns an error for a value that Tiles.Overlap cannot have.
func CheckOverlap(overlap float64) error {
	if !(overlap >= 0 && overlap < 1) { // nor NaN
		return fmt.Errorf("%v is out of range (0–<1)", overlap)
	}
	return nil
}

// CheckMergeThreshold returns an error for a value that Tiles.Threshold cannot have.
func CheckMergeThreshold(threshold float64) error {
	if !(threshold > 0 && threshold <= 1) {
		return fmt.Errorf("%v is out of range (>0–1)", threshold)
	}
	return nil
}

// ObjectTasks lists the tasks that find objects, for messages.
func ObjectTasks() string {
	var names []string
	for _, task := range Tasks() {
		if task.FindsObjects() {
			names = append(names, string(task))
		}
	}
	return strings.Join(names, ", ")
}
