package geometry

import (
	"image"
	"math"

	"fovea/internal/repository"
)

// TargetSize returns the size that a whole image is resized to, in pixels.
func TargetSize(in *repository.Input, width, height int) image.Point {
	switch in.Resize {
	case repository.ShortestEdge:
		return shortestEdge(in, width, height)
	case repository.Letterbox:
		return within(in, width, height)
	case repository.Cover:
		return covering(in, width, height)
	case repository.Fit:
		return reduced(in, limited(in, fitted(in, width, height)))
	case repository.FitHeight:
		target, _ := line(in, width, height)
		return target
	case repository.Limit, repository.LongestEdge:
		target, _ := limitedSides(in, width, height)
		return target
	case repository.Closest:
		return limited(in, closest(in, width, height))
	case repository.NoResize:
		return reduced(in, limited(in, image.Pt(width, height)))
	case repository.CropFirst:
		return image.Pt(in.Width, in.Height)
	}
	return image.Pt(in.ResizeSize())
}

// InputSize returns the size of the input for an image: that of the definition or, if that is open (Input.Dynamic), TargetSize with each
// side rounded up to a multiple of the stride. With a letterbox this is the minimal rectangle of Ultralytics' LetterBox with auto=True,
// which pads by the rest modulo the stride. FitHeight, Limit and LongestEdge pad as PaddleOCR does.
func InputSize(in *repository.Input, width, height int) image.Point {
	if !in.Dynamic() {
		return image.Pt(in.Width, in.Height)
	}
	switch in.Resize {
	case repository.FitHeight:
		_, input := line(in, width, height)
		return input
	case repository.Limit, repository.LongestEdge:
		_, input := limitedSides(in, width, height)
		return input
	}
	target := TargetSize(in, width, height)
	stride := max(in.Stride, 1)
	return image.Pt((target.X+stride-1)/stride*stride, (target.Y+stride-1)/stride*stride)
}

// shortestEdge scales the shorter side to ShortestEdge. Rounded down, the longer side is that of torchvision's Resize(edge),
// int(edge·long/short) (torchvision.transforms.functional._compute_resized_output_size).
func shortestEdge(in *repository.Input, width, height int) image.Point {
	edge, shorter := in.ShortestEdge, min(width, height)
	scaled := func(side int) int {
		if side == shorter {
			return edge
		}
		return max(edge, rounded(in, float64(edge*side)/float64(shorter)))
	}
	return image.Pt(scaled(width), scaled(height))
}

// within scales both sides by the same factor, so that the image fits within Input.ResizeSize. Rounded to the nearest, the result is that of
// Ultralytics' LetterBox, round(side·r); rounded down, that of YOLOX's preproc, int(side·r). Both multiply by a rounded
// factor, r = min(Height/height, Width/width), so that even the side that decides it may end up a pixel short with int:
// 49·(416/49) is 415.99….
func within(in *repository.Input, width, height int) image.Point {
	most, highest := in.ResizeSize()
	r := min(float64(highest)/float64(height), float64(most)/float64(width))
	return image.Pt(clamp(rounded(in, float64(width)*r), most), clamp(rounded(in, float64(height)*r), highest))
}

// covering scales both sides by the same factor, so that the image covers Input.ResizeSize, and divides by its inverse, as timm's
// ResizeKeepRatio does (timm/data/transforms.py).
func covering(in *repository.Input, width, height int) image.Point {
	w, h := in.ResizeSize()
	r := min(float64(height)/float64(h), float64(width)/float64(w))
	return image.Pt(max(w, rounded(in, float64(width)/r)), max(h, rounded(in, float64(height)/r)))
}

// fitted scales the shorter side to ShortestEdge, or to less where the longer one would exceed LongestEdge, as in
// transformers' get_size_with_aspect_ratio (models/detr/image_processing_detr.py, which rounds the longer side down;
// models/eomt rounds it to the nearest). Rounded half up, the result is that of mmcv's rescale_size
// (mmcv/image/geometric.py).
func fitted(in *repository.Input, width, height int) image.Point {
	shorter, longer := float64(min(width, height)), float64(max(width, height))
	edge := fittedEdge(in, shorter, longer)
	short := max(1, int(math.RoundToEven(edge)))
	if in.Rounding == repository.RoundHalfUp {
		short = max(1, rounded(in, edge))
	}
	if int(shorter) == short && in.Rounding != repository.RoundHalfUp {
		return image.Pt(width, height)
	}
	long := max(short, rounded(in, edge*longer/shorter))
	if width < height {
		return image.Pt(short, long)
	}
	return image.Pt(long, short)
}

// reduced rounds both sides down to multiples of Input.Multiple, as transformers' get_size_with_aspect_ratio_yolos does
// (models/yolos/image_processing_yolos.py) and GLPNImageProcessor, but never to 0.
func reduced(in *repository.Input, size image.Point) image.Point {
	m := max(in.Multiple, 1)
	return image.Pt(max(m, size.X/m*m), max(m, size.Y/m*m))
}

// closest scales by one factor, that of the width to ResizeWidth or of the height to ResizeHeight, whichever is closer to 1, and rounds
// both sides to multiples, halves to even: get_resize_output_image_size in transformers' models/dpt/image_processing_dpt.py with
// keep_aspect_ratio.
func closest(in *repository.Input, width, height int) image.Point {
	w, h := in.ResizeSize()
	scale, other := float64(h)/float64(height), float64(w)/float64(width)
	if math.Abs(1-other) < math.Abs(1-scale) {
		scale = other
	}
	m := max(in.Multiple, 1)
	side := func(n int) int { return max(1, int(math.RoundToEven(scale*float64(n)/float64(m)))) * m }
	return image.Pt(side(width), side(height))
}

// fittedEdge returns the shorter side of fitted before it is rounded.
func fittedEdge(in *repository.Input, shorter, longer float64) float64 {
	edge := float64(in.ShortestEdge)
	if most := float64(in.LongestEdge); most > 0 && longer/shorter*edge > most {
		return most * shorter / longer
	}
	return edge
}

// limited scales a size down to the limits of an input of open size.
func limited(in *repository.Input, size image.Point) image.Point {
	w, h, pixels := in.Limits()
	area := float64(size.X) * float64(size.Y)
	f := min(float64(w)/float64(size.X), float64(h)/float64(size.Y), math.Sqrt(float64(pixels)/area))
	if f >= 1 {
		return size
	}
	return image.Pt(clamp(int(float64(size.X)*f), w), clamp(int(float64(size.Y)*f), h))
}

// rounded rounds a side as the definition says.
func rounded(in *repository.Input, side float64) int {
	switch in.SideRounding() {
	case repository.RoundNearest:
		return int(math.RoundToEven(side))
	case repository.RoundHalfUp:
		return int(side + 0.5)
	case repository.RoundCeil:
		return int(math.Ceil(side))
	}
	return int(side)
}

func clamp(side, most int) int { return max(1, min(side, most)) }

func isTopLeft(in *repository.Input) bool { return in.Place == "top_left" }
