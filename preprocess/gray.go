package preprocess

import "fovea/internal/repository"

// The weights of red, green and blue in 65536ths: ITU-R BT.601, 2.5.1 (0.299, 0.587, 0.114), rounded as in Pillow's
// convert("L") (L24 in src/libImaging/Convert.c), which training pipelines use. OpenCV's cvtColor rounds to 32768ths and
// differs by at most 1 of 255.
const (
	redWeight   = 19595
	greenWeight = 38470
	blueWeight  = 7471
)

// luma returns the value of a pixel after Pillow's convert("L"). A gray pixel keeps its value.
func luma(blue, green, red byte) byte {
	return byte((redWeight*uint32(red) + greenWeight*uint32(green) + blueWeight*uint32(blue) + 1<<15) >> 16)
}

// grayPacker packs images into an input of one channel. In memory [1,h,w], [h,w,1] and [h,w] are the same.
type grayPacker[T element] struct {
	values [256]T // what each luma becomes
	fill   T
}

func newGrayPacker[T element](in repository.Input, normalize func(int, float64) T) *grayPacker[T] {
	p := &grayPacker[T]{fill: normalize(0, perChannel(in.Fill)[0])}
	for i := range p.values {
		p.values[i] = normalize(0, float64(i))
	}
	return p
}

func (p *grayPacker[T]) pack(f frame, row []byte) {
	out, v, target, width := elements[T](row), f.color, f.target, f.size.X
	fillAround(out, width, target, p.fill)
	for y := target.Min.Y; y < target.Max.Y; y++ {
		line := out[y*width+target.Min.X:][:target.Dx()]
		from := v.origin + (y-target.Min.Y)*v.down
		for x := range line {
			pixel := v.pixels[from : from+3 : from+3]
			line[x] = p.values[luma(pixel[0], pixel[1], pixel[2])]
			from += v.right
		}
	}
}
