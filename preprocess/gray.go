package preprocess

import (
	"image"
	"unsafe"

	"fovea/internal/repository"
)

// The parts that red, green and blue have in brightness, in 65536ths: ITU-R BT.601, 2.5.1 (0.299, 0.587, 0.114), rounded
// as in Pillow's convert("L") (L24 in src/libImaging/Convert.c), which training pipelines use. OpenCV's cvtColor rounds
// to 32768ths, and differs by 1 of 255 at most.
const (
	redPart   = 19595
	greenPart = 38470
	bluePart  = 7471
)

// brightness is what Pillow's convert("L") makes of a pixel. A pixel that is gray already keeps its value.
func brightness(blue, green, red byte) byte {
	return byte((redPart*uint32(red) + greenPart*uint32(green) + bluePart*uint32(blue) + 1<<15) >> 16)
}

// gray packs images into an input of one channel. In memory [1,h,w], [h,w,1] and [h,w] are the same.
type gray[T element] struct {
	width, height int
	values        [256]T // what each brightness becomes
	fill          T
}

func newGray[T element](in repository.Input, v *values, convert func(float64) T) *gray[T] {
	g := &gray[T]{width: in.Width, height: in.Height, fill: convert(v.fill[0])}
	for i := range g.values {
		g.values[i] = convert(v.table[0][i])
	}
	return g
}

func (g *gray[T]) pack(v view, target image.Rectangle, row []byte) {
	out := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), g.width*g.height)
	fillAround(out, g.width, target, g.fill)
	for y := target.Min.Y; y < target.Max.Y; y++ {
		line := out[y*g.width+target.Min.X:][:target.Dx()]
		from := v.origin + (y-target.Min.Y)*v.down
		for x := range line {
			pixel := v.pixels[from : from+3 : from+3]
			line[x] = g.values[brightness(pixel[0], pixel[1], pixel[2])]
			from += v.right
		}
	}
}
