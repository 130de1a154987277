package resample

import "math"

// Filter is how a library resamples 8-bit images.
type Filter struct {
	support float64                 // pixels on either side of a result's center that count, where the side does not shrink
	weight  func(x float64) float64 // of a pixel whose center is x from the result's
	int16   bool                    // weights have 16 bits, as in PyTorch; otherwise 22 and a sign, as in Pillow
	nearest func(s side) []float64  // the pixels that results copy, instead of weighing them
}

// Copies reports whether results are copies of pixels.
func (f *Filter) Copies() bool { return f.nearest != nil }

// The filters of Pillow's Image.resize (src/libImaging/Resample.c), the nearest pixel of Pillow (src/libImaging/Geometry.c,
// ImagingScaleAffine) and of OpenCV (INTER_NEAREST; modules/imgproc/src/resize.cpp, resizeNN), and F.interpolate of PyTorch with
// mode bilinear, bicubic or lanczos and antialias on uint8 tensors, which is also torchvision's Resize of them
// (aten/src/ATen/native/cpu/UpSampleKernel.cpp, upsample_avx_bilinear_bicubic_uint8). PyTorch on CPUs without AVX2 computes the
// bilinear one in float32, which differs by at most 1. TorchNearest is its nearest-exact (aten/src/ATen/native/UpSample.h,
// nearest_exact_idx).
var (
	PillowBox      = Filter{support: 0.5, weight: box}
	PillowBilinear = Filter{support: 1, weight: triangle}
	PillowHamming  = Filter{support: 1, weight: hamming}
	PillowBicubic  = Filter{support: 2, weight: cubic}
	PillowLanczos  = Filter{support: 3, weight: lanczos}
	PillowNearest  = Filter{nearest: pillowNearest}
	OpenCVNearest  = Filter{nearest: openCVNearest}
	TorchAntialias = Filter{support: 1, weight: triangle, int16: true}
	TorchBicubic   = Filter{support: 2, weight: cubic, int16: true}
	TorchLanczos   = Filter{support: 3, weight: lanczos, int16: true}
	TorchNearest   = Filter{nearest: torchNearest}
)

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func hamming(x float64) float64 {
	x = math.Abs(x)
	if x >= 1 {
		return 0
	}
	// Pillow's constants are float32.
	return sinc(x) * (float64(float32(0.54)) + float64(float32(0.46))*math.Cos(math.Pi*x))
}

// cubic is Keys' cubic convolution with a = −1/2.
func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

func lanczos(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// pillowNearest adds up the centers, as Pillow does, whose rounding errors decide where centers lie between two pixels.
func pillowNearest(s side) []float64 {
	at := make([]float64, s.end-s.begin)
	center := s.low + s.scale()*0.5
	for i := range s.end {
		if i >= s.begin {
			at[i-s.begin] = math.Floor(center)
		}
		center += s.scale()
	}
	return at
}

// openCVNearest takes the pixel at the low edge of a result. OpenCV computes the scale as the inverse of its inverse.
func openCVNearest(s side) []float64 {
	at := make([]float64, s.end-s.begin)
	scale := 1 / (float64(s.size) / (s.high - s.low))
	for i := range at {
		at[i] = math.Floor(s.low + float64(s.begin+i)*scale)
	}
	return at
}

// torchNearest takes the pixel at the center of a result, with a scale of float32.
func torchNearest(s side) []float64 {
	at := make([]float64, s.end-s.begin)
	scale := float64(float32(s.high-s.low) / float32(s.size))
	for i := range at {
		at[i] = math.Floor(s.low + float64(float32((float64(s.begin+i)+0.5)*scale)))
	}
	return at
}
