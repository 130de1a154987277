package postprocess

import (
	"fmt"
	"math"
	"slices"

	"fovea/internal/repository"
)

// Limits of what right definitions lead to.
const (
	wideRange  = 300  // of an input's numbers: pixels have 255, and all usual normalizations less
	thinRange  = 0.1  // the usual ones have 1 to 5
	farRange   = 3    // how many widths of the range its middle may be from 0
	pixelRange = 200  // a range of numbers that are pixels
	largeLogit = 1000 // no trained model comes near
	sureScore  = 0.99
	sureBoxes  = 0.25 // of all cells: more are not sure of an object
	insensible = 0.05 // of the spread of the scores of an image: their spread between images

	// A detector finds nothing in the first trial image, which is black, and something in one of the others, even with random
	// weights. Of real models the best score of the others is 4 to 6000 times as high. With a scale that is 255 times too small it
	// is 0.7 to 1.001 times as high, as all images are nearly black; with one that is too large it is lower.
	nothing   = 0.25 // a best score below it
	stands    = 1.1  // of that, a score that is higher
	alike     = 0.5  // of that, scores of images that are nearly black
	fewImages = 5    // may all be alike
)

// inputCheck is the aspect of the input's scale, mean and standard deviation.
type inputCheck struct {
	in      *repository.Input
	kind    scoreKind
	cells   bool // the output has the boxes of all cells or queries
	dense   bool // the output has the scores of all classes, in the same order for each image
	logits  bool // of classes
	rows    [][]float32
	largest float64 // magnitude of a score
	sure    int     // rows in which the model is sure of too many boxes
	best    span    // the best score of each row that has boxes
	black   float64 // that of the first
}

func (e *inputCheck) add(row *trialRow) {
	e.rows = append(e.rows, append([]float32(nil), row.scores...))
	for _, v := range row.scores {
		if a := math.Abs(float64(v)); a > e.largest && !math.IsInf(a, 0) {
			e.largest = a
		}
	}
	if len(row.best) > 0 {
		high := slices.Max(row.best)
		if e.best.add(high); e.best.n == 1 {
			e.black = float64(high)
		}
	}
	sure := 0
	for _, p := range row.best {
		if p >= sureScore {
			sure++
		}
	}
	if float64(sure) >= sureBoxes*float64(len(row.best)) && sure >= manyScores {
		e.sure++
	}
}

// inputRange returns the lowest and highest number that a pixel becomes, of the channel with the widest range.
func inputRange(in *repository.Input) (low, high float64) {
	for c := range max(len(in.Mean), len(in.Std)) {
		mean, std := in.Mean[min(c, len(in.Mean)-1)], in.Std[min(c, len(in.Std)-1)]
		if l, h := -mean/std, (255*in.Scale-mean)/std; h-l > high-low {
			low, high = l, h
		}
	}
	return low, high
}

func (e *inputCheck) findings(f *Findings) {
	if len(e.rows) == 0 || e.in.DType == repository.Uint8 || len(e.in.Mean) == 0 || len(e.in.Std) == 0 {
		return
	}
	low, high := inputRange(e.in)
	low, width := low+0, high-low // no negative zero
	between, within := spreads(e.rows)
	try := "try input.scale: 0.00392156862745098 (1/255)"
	if e.in.Scale < thinRange {
		try = "try input.scale: 1"
	}
	described := fmt.Sprintf("with input.scale: %.4g, input.mean and input.std, pixels become %.4g to %.4g", e.in.Scale, low, high)
	saturated := e.kind == probabilities && e.largest >= sureScore
	switch {
	case width > wideRange || width < thinRange || math.Abs(low+high)/2 > farRange*width:
		f.warn("input.scale: %s, which no usual model takes; %s", described, try)
	case e.logits && e.largest >= largeLogit && width >= pixelRange:
		f.warn("input.scale: %s, and scores were as large as %.4g in trial runs; %s", described, e.largest, try)
	case e.cells && width >= pixelRange && e.sure > len(e.rows)/2:
		f.warn("input.scale: %s, and in %d of %d trial runs the model was sure of an object in a quarter of its cells; %s",
			described, e.sure, len(e.rows), try)
	case (e.dense || e.cells) && len(e.rows) > 2 && between > 0 && between < insensible*within && !saturated:
		f.doubt("input.scale: %s, and scores hardly depended on the image in trial runs; %s", described, try)
	case e.findsNothing() && (width >= pixelRange || e.best.low >= alike*e.black):
		f.doubt("input.scale: %s, and scores hardly depended on the image in trial runs: the best were from %.3g to %.3g, that of a black image "+
			"being %.3g, so that nothing was found in any; %s", described, e.best.low, e.best.high, e.black, try)
	}
	e.order(f)
}

// findsNothing reports whether no image has a better box than the black one, and not because all are the same.
func (e *inputCheck) findsNothing() bool {
	return e.best.n >= fewImages && e.black > 0 && e.black < nothing && e.best.high <= stands*e.black && e.best.low < e.best.high
}

// spreads returns the standard deviation of scores between rows and within a row; 0 and 0 if the rows differ in length or have
// numbers that are not finite.
func spreads(rows [][]float32) (between, within float64) {
	n := len(rows[0])
	means := make([]float64, n)
	for _, row := range rows {
		if len(row) != n || !allFinite(row) {
			return 0, 0
		}
		own := 0.0
		for i, v := range row {
			means[i] += float64(v) / float64(len(rows))
			own += float64(v) / float64(n)
		}
		for _, v := range row {
			within += (float64(v) - own) * (float64(v) - own)
		}
	}
	for _, row := range rows {
		for i, v := range row {
			between += (float64(v) - means[i]) * (float64(v) - means[i])
		}
	}
	count := float64(max(1, n*len(rows)))
	return math.Sqrt(between / count), math.Sqrt(within / count)
}

// knownMeans are means of red, green and blue: of ImageNet over 0 to 1 and over 0 to 255, and of Caffe's models.
var knownMeans = [][3]float64{{0.485, 0.456, 0.406}, {123.675, 116.28, 103.53}, {123.68, 116.779, 103.939}}

// order finds known means whose channels are in the other order than those of the input.
func (e *inputCheck) order(f *Findings) {
	mean := e.in.Mean
	if len(mean) != 3 {
		return
	}
	bgr := e.in.Color == repository.ColorBGR
	for _, known := range knownMeans {
		rgb, turned := true, true
		for i, v := range known {
			rgb = rgb && math.Abs(mean[i]-v) <= 0.002*v
			turned = turned && math.Abs(mean[2-i]-v) <= 0.002*v
		}
		if rgb && bgr || turned && !bgr {
			f.warn("input.mean: is in the order of color: %s, but says color: %s; try input.color: %[1]s, or turn input.mean and input.std over",
				map[bool]string{true: repository.ColorRGB, false: repository.ColorBGR}[rgb], e.in.Color)
			return
		}
	}
}
