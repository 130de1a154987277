package geometry

import (
	"image"
	"math"

	"fovea/internal/repository"
)

// line returns the size that a line of text is resized to, and that of the input: as in resize_norm_img of PaddleOCR's
// tools/infer/predict_rec.py, a line is scaled to the input's height, squeezed if its width, rounded up, exceeds the input's, and padded
// at the right. An open width is that of the line, rounded down, but at least MinWidth and at most Width.
func line(in *repository.Input, width, height int) (target, input image.Point) {
	scaled := float64(in.Height) * (float64(width) / float64(height))
	input = image.Pt(in.Width, in.Height)
	if in.Dynamic() {
		most, _, _ := in.Limits()
		stride := max(in.Stride, 1)
		open := max(int(min(scaled, float64(most))), in.MinWidth)
		input.X = min((open+stride-1)/stride*stride, most)
		return image.Pt(clamp(rounded(in, scaled), min(open, most)), in.Height), input
	}
	return image.Pt(clamp(rounded(in, scaled), in.Width), in.Height), input
}

// limitedSides returns the size that an image is resized to for the detection of text, and that of the input: as resize_image_type0 and
// resize_image_type2 of PaddleOCR's ppocr/data/imaug/operators.py (limit_type max or min, and resize_long), after what RapidOCR does
// before them (rapidocr_onnxruntime/main.py): it scales large images down first, and pads wide ones above and below to a quarter of their
// width, for an aspect ratio of 8.
func limitedSides(in *repository.Input, width, height int) (target, input image.Point) {
	w, h := width, height
	if longest := max(w, h); in.LongestEdge > 0 && (longest > in.LongestEdge || in.Resize == repository.LongestEdge) {
		w, h = multiples(in, w, h, float64(in.LongestEdge)/float64(longest))
	}
	padded := h
	if in.MaxAspect > 0 && float64(w)/float64(h) > in.MaxAspect {
		padded += (2*int(float64(w)/in.MaxAspect) - h) / 2 * 2
	}
	factor := 1.0
	if shortest := min(w, padded); shortest < in.ShortestEdge {
		factor = float64(in.ShortestEdge) / float64(shortest)
	}
	input.X, input.Y = multiples(in, w, padded, factor)
	input = limitedMultiple(in, input)
	if padded == h {
		return input, input
	}
	return image.Pt(input.X, clamp(int(math.Round(float64(input.Y)*float64(h)/float64(padded))), input.Y)), input
}

// multiples scales both sides and rounds each to a multiple, which is at least one.
func multiples(in *repository.Input, w, h int, factor float64) (int, int) {
	side := func(pixels int) int {
		scaled := rounded(in, float64(pixels)*factor)
		m := max(in.Multiple, 1)
		n := float64(scaled) / float64(m)
		switch in.ToMultiple {
		case repository.RoundFloor:
			n = math.Floor(n)
		case repository.RoundCeil:
			n = math.Ceil(n)
		default:
			n = math.RoundToEven(n)
		}
		return max(m, int(n)*m)
	}
	return side(w), side(h)
}

// limitedMultiple scales an input down to the limits of one of open size, in multiples.
func limitedMultiple(in *repository.Input, size image.Point) image.Point {
	m := max(in.Multiple, 1)
	less := limited(in, size)
	if less == size {
		return size
	}
	return image.Pt(max(m, less.X/m*m), max(m, less.Y/m*m))
}
