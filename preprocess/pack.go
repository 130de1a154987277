package preprocess

import (
	"image"
	"math"
	"unsafe"

	"fovea/internal/apierror"
	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Pack resizes the image and writes the whole of row, which must have the bytes of the image's InputSize and be aligned to
// its elements. It returns the transform between the image and the input.
func (p *Plan) Pack(img *Image, row []byte) (geometry.Transform, error) {
	if img.mat.Ptr() == nil {
		return geometry.Transform{}, apierror.New(apierror.Internal, "cannot pack a closed image")
	}
	g := geometry.Resample(&p.input, img.size)
	if want := p.RowBytesOf(g.Input); len(row) != want {
		return geometry.Transform{}, apierror.New(apierror.Internal, "the row has %d bytes; the input needs %d", len(row), want)
	}
	if size := p.input.DType.Size(); uintptr(unsafe.Pointer(unsafe.SliceData(row)))%uintptr(size) != 0 {
		return geometry.Transform{}, apierror.New(apierror.Internal, "the row is not aligned to %d bytes", size)
	}
	f := frame{size: g.Input, target: g.Target}
	var scaled, alpha native
	multiplied, err := p.multiply(img)
	if err != nil {
		return geometry.Transform{}, err
	}
	if f.color, scaled, err = p.resized(img, img.mat); err != nil {
		return geometry.Transform{}, err
	}
	defer scaled.free()
	if img.alpha.Ptr() != nil {
		if f.alpha, alpha, err = p.resized(img, img.alpha); err != nil {
			return geometry.Transform{}, err
		}
		defer alpha.free()
	}
	if multiplied {
		divide(f.color.pixels, f.alpha.pixels)
	}
	p.packer.pack(f, row)
	return g.Transform, nil
}

// PackPixels writes the whole of row, as Pack does, from an opaque image of the input's size: three bytes (blue, green, red) a
// pixel, rows of width pixels from the top.
func (p *Plan) PackPixels(pixels []byte, width int, row []byte) {
	all := image.Rect(0, 0, width, len(pixels)/(3*width))
	p.packer.pack(frame{size: all.Max, target: all, color: newView(pixels, width, all, 1)}, row)
}

// resampling returns how an image of w×h stored pixels is resampled.
func (p *Plan) resampling(img *Image, w, h int) resampling {
	g := geometry.Resample(&p.input, img.size)
	r := resampling{
		scaler: p.scaler, stored: image.Pt(w, h), orientation: img.orientation,
		source: storedBox(g.Source, w, h, img.orientation), size: g.Size, alone: p.input.Resize == repository.CropFirst,
	}
	if img.orientation >= 5 {
		r.size = image.Pt(g.Size.Y, g.Size.X)
	}
	crop := image.Rectangle{Min: g.CropOffset, Max: g.CropOffset.Add(g.Target.Size())}
	r.crop = storedRect(crop, r.size.X, r.size.Y, img.orientation)
	return r
}

// resized returns the view of what goes into the input of one of the image's matrices, and the matrix behind it if one had
// to be made.
func (p *Plan) resized(img *Image, mat native) (view, native, error) {
	r := p.resampling(img, mat.Cols(), mat.Rows())
	rect := r.sourceRect()
	var scaled native
	if !r.unchanged() {
		var err error
		if scaled, rect, err = r.resized(mat); err != nil {
			return view{}, native{}, err
		}
		mat = scaled
	}
	pixels, err := mat.DataPtrUint8()
	if err != nil {
		scaled.free()
		return view{}, native{}, apierror.Wrap(apierror.Internal, err, "the resized image cannot be read")
	}
	return newView(pixels, mat.Cols(), rect, img.orientation), scaled, nil
}

// frame is what a row is made from: an input of size pixels shows color in target, and padding around it.
type frame struct {
	size   image.Point
	target image.Rectangle
	color  view
	alpha  view // the same pixels, each three times its alpha; without pixels if all are opaque
}

// packer writes a frame to a row.
type packer interface {
	pack(f frame, row []byte)
}

func newPacker(in repository.Input) packer {
	switch in.DType {
	case repository.Float16:
		return packerOf(in, func(f float64) uint16 { return float16.Bits(float32(f)) })
	case repository.Uint8:
		return packerOf(in, func(f float64) uint8 { return uint8(math.RoundToEven(max(0, min(f, 255)))) })
	}
	return packerOf(in, func(f float64) float32 { return float32(f) })
}

// packerOf makes a packer of the values (v·scale − mean) / std, for each channel in the order of the model's colors.
func packerOf[T element](in repository.Input, convert func(float64) T) packer {
	mean, std := perChannel(in.Mean), perChannel(in.Std)
	normalize := func(channel int, v float64) T { return convert((v*in.Scale - mean[channel]) / std[channel]) }
	switch in.Channels() {
	case 1:
		return newGrayPacker(in, normalize)
	case 4:
		return newAlphaPacker(in, normalize)
	}
	return newColorPacker(in, normalize)
}

// perChannel repeats a single value for each channel. Fill has none where an input needs no padding.
func perChannel(values []float64) (out [4]float64) {
	if len(values) == 1 {
		return [4]float64{values[0], values[0], values[0], values[0]}
	}
	copy(out[:], values)
	return out
}

// element is the machine type of a tensor's elements; float16 is represented by its bits.
type element interface{ float32 | uint16 | uint8 }

// colorPacker packs images into an input of three channels. Its tables hold what each value of each channel becomes, in the
// order of the decoded pixel (blue, green, red); channel is the model's channel of each.
type colorPacker[T element] struct {
	interleaved bool // nhwc
	channel     [3]int
	blue        [256]T
	green       [256]T
	red         [256]T
	fill        [3]T // in the order of the model's channels
}

func newColorPacker[T element](in repository.Input, normalize func(int, float64) T) *colorPacker[T] {
	p := &colorPacker[T]{interleaved: in.Layout == "nhwc", channel: [3]int{2, 1, 0}}
	if in.Color == repository.ColorBGR || in.Color == repository.ColorBGRA {
		p.channel = [3]int{0, 1, 2}
	}
	for i := range 256 {
		p.blue[i] = normalize(p.channel[0], float64(i))
		p.green[i] = normalize(p.channel[1], float64(i))
		p.red[i] = normalize(p.channel[2], float64(i))
	}
	fill := perChannel(in.Fill)
	for c := range p.fill {
		p.fill[c] = normalize(c, fill[c])
	}
	return p
}

func (p *colorPacker[T]) pack(f frame, row []byte) {
	out := elements[T](row)
	if p.interleaved {
		p.packInterleaved(f, out)
	} else {
		p.packPlanes(f, out)
	}
}

// elements views a row as elements of T.
func elements[T element](row []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), len(row)/int(unsafe.Sizeof(one)))
}

// packPlanes writes nchw: one plane per channel.
func (p *colorPacker[T]) packPlanes(f frame, out []T) {
	v, target, width, area := f.color, f.target, f.size.X, f.size.X*f.size.Y
	for c := range 3 {
		fillAround(out[c*area:(c+1)*area], width, target, p.fill[c])
	}
	for y := target.Min.Y; y < target.Max.Y; y++ {
		at := y*width + target.Min.X
		blue := out[p.channel[0]*area+at:][:target.Dx()]
		green := out[p.channel[1]*area+at:][:len(blue)]
		red := out[p.channel[2]*area+at:][:len(blue)]
		from := v.origin + (y-target.Min.Y)*v.down
		for x := range blue {
			pixel := v.pixels[from : from+3 : from+3]
			blue[x] = p.blue[pixel[0]]
			green[x] = p.green[pixel[1]]
			red[x] = p.red[pixel[2]]
			from += v.right
		}
	}
}

// fillAround fills a plane outside of target.
func fillAround[T element](plane []T, width int, target image.Rectangle, fill T) {
	set(plane[:target.Min.Y*width], fill)
	set(plane[target.Max.Y*width:], fill)
	for y := target.Min.Y; y < target.Max.Y; y++ {
		line := plane[y*width : (y+1)*width]
		set(line[:target.Min.X], fill)
		set(line[target.Max.X:], fill)
	}
}

func set[T element](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// packInterleaved writes nhwc: the three channels of a pixel next to each other.
func (p *colorPacker[T]) packInterleaved(f frame, out []T) {
	v, target, stride := f.color, f.target, 3*f.size.X
	p.setPixels(out[:target.Min.Y*stride])
	p.setPixels(out[target.Max.Y*stride:])
	b, g, r := p.channel[0], p.channel[1], p.channel[2]
	for y := target.Min.Y; y < target.Max.Y; y++ {
		line := out[y*stride : (y+1)*stride]
		p.setPixels(line[:3*target.Min.X])
		p.setPixels(line[3*target.Max.X:])
		from := v.origin + (y-target.Min.Y)*v.down
		for line = line[3*target.Min.X : 3*target.Max.X]; len(line) >= 3; line = line[3:] {
			pixel := v.pixels[from : from+3 : from+3]
			line[b] = p.blue[pixel[0]]
			line[g] = p.green[pixel[1]]
			line[r] = p.red[pixel[2]]
			from += v.right
		}
	}
}

func (p *colorPacker[T]) setPixels(s []T) {
	for ; len(s) >= 3; s = s[3:] {
		s[0], s[1], s[2] = p.fill[0], p.fill[1], p.fill[2]
	}
}
