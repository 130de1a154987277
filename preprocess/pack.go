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

// Pack resizes the image and writes the whole of row, which must be RowBytes long and aligned to its elements. It returns
// the transform between the image and the input.
func (p *Plan) Pack(img *Image, row []byte) (geometry.Transform, error) {
	if img.mat.Ptr() == nil {
		return geometry.Transform{}, apierror.New(apierror.Internal, "cannot pack a closed image")
	}
	if len(row) != p.RowBytes() {
		return geometry.Transform{}, apierror.New(apierror.Internal, "the row has %d bytes; the input needs %d", len(row), p.RowBytes())
	}
	if size := p.input.DType.Size(); uintptr(unsafe.Pointer(unsafe.SliceData(row)))%uintptr(size) != 0 {
		return geometry.Transform{}, apierror.New(apierror.Internal, "the row is not aligned to %d bytes", size)
	}
	g := geometry.Resample(&p.input, img.size)
	v, scaled, err := p.resized(img)
	if err != nil {
		return geometry.Transform{}, err
	}
	defer scaled.free()
	p.packer.pack(v, g.Target, row)
	return g.Transform, nil
}

// PackPixels writes the whole of row, as Pack does, from an image of the input's size: three bytes (blue, green, red) a
// pixel, rows from the top.
func (p *Plan) PackPixels(pixels, row []byte) {
	all := image.Rect(0, 0, p.input.Width, p.input.Height)
	p.packer.pack(newView(pixels, p.input.Width, all, 1), all, row)
}

// resampling returns how an image of w×h stored pixels is resampled.
func (p *Plan) resampling(img *Image, w, h int) resampling {
	g := geometry.Resample(&p.input, img.size)
	r := resampling{source: storedBox(g.Source, w, h, img.orientation), size: g.Size}
	if img.orientation >= 5 {
		r.size = image.Pt(g.Size.Y, g.Size.X)
	}
	crop := image.Rectangle{Min: g.CropOffset, Max: g.CropOffset.Add(g.Target.Size())}
	r.crop = storedRect(crop, r.size.X, r.size.Y, img.orientation)
	r.cropOnly = p.scaler.cropsOnly(r.source, r.size)
	return r
}

// resized returns the view of what goes into the input, and the matrix behind it if one had to be made.
func (p *Plan) resized(img *Image) (view, native, error) {
	r := p.resampling(img, img.mat.Cols(), img.mat.Rows())
	mat, rect := img.mat, r.sourceRect()
	var scaled native
	if !unchanged(r.source, r.size) {
		var err error
		if scaled, err = p.scaler.resize(mat, r); err != nil {
			return view{}, native{}, err
		}
		if mat, rect = scaled, r.crop; r.cropOnly {
			rect = image.Rectangle{Max: r.crop.Size()}
		}
	}
	pixels, err := mat.DataPtrUint8()
	if err != nil {
		scaled.free()
		return view{}, native{}, apierror.Wrap(apierror.Internal, err, "the resized image cannot be read")
	}
	return newView(pixels, mat.Cols(), rect, img.orientation), scaled, nil
}

// packer writes a view to the target rectangle of a row, and padding around it.
type packer interface {
	pack(v view, target image.Rectangle, row []byte)
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
	if in.Color == repository.ColorGray {
		return newGrayPacker(in, normalize)
	}
	return newColorPacker(in, normalize)
}

// perChannel repeats a single value for each channel. Fill has none where an input needs no padding.
func perChannel(values []float64) (out [3]float64) {
	if len(values) == 1 {
		return [3]float64{values[0], values[0], values[0]}
	}
	copy(out[:], values)
	return out
}

// element is the machine type of a tensor's elements; float16 is represented by its bits.
type element interface{ float32 | uint16 | uint8 }

// colorPacker packs images into an input of three channels. Its tables hold what each value of each channel becomes, in the
// order of the decoded pixel (blue, green, red); channel is the model's channel of each.
type colorPacker[T element] struct {
	width, height int
	interleaved   bool // nhwc
	channel       [3]int
	blue          [256]T
	green         [256]T
	red           [256]T
	fill          [3]T // in the order of the model's channels
}

func newColorPacker[T element](in repository.Input, normalize func(int, float64) T) *colorPacker[T] {
	p := &colorPacker[T]{width: in.Width, height: in.Height, interleaved: in.Layout == "nhwc", channel: [3]int{2, 1, 0}}
	if in.Color == repository.ColorBGR {
		p.channel = [3]int{0, 1, 2}
	}
	for i := range 256 {
		p.blue[i] = normalize(p.channel[0], float64(i))
		p.green[i] = normalize(p.channel[1], float64(i))
		p.red[i] = normalize(p.channel[2], float64(i))
	}
	for c, v := range perChannel(in.Fill) {
		p.fill[c] = normalize(c, v)
	}
	return p
}

func (p *colorPacker[T]) pack(v view, target image.Rectangle, row []byte) {
	out := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), 3*p.width*p.height)
	if p.interleaved {
		p.packInterleaved(v, target, out)
	} else {
		p.packPlanes(v, target, out)
	}
}

// packPlanes writes nchw: one plane per channel.
func (p *colorPacker[T]) packPlanes(v view, target image.Rectangle, out []T) {
	area := p.width * p.height
	for c := range 3 {
		fillAround(out[c*area:(c+1)*area], p.width, target, p.fill[c])
	}
	for y := target.Min.Y; y < target.Max.Y; y++ {
		at := y*p.width + target.Min.X
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
func (p *colorPacker[T]) packInterleaved(v view, target image.Rectangle, out []T) {
	stride := 3 * p.width
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
