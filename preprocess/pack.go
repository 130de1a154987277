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

// Pack resizes the image as the plan says and writes the whole of row, which must be RowBytes long and aligned to
// its elements. It returns how the image lies in the input. Nothing of what row held before is left.
func (p *Plan) Pack(pic *Image, row []byte) (geometry.Fit, error) {
	if pic.mat.Ptr() == nil {
		return geometry.Fit{}, apierror.New(apierror.Internal, "a closed image was to be packed")
	}
	if len(row) != p.RowBytes() || uintptr(unsafe.Pointer(unsafe.SliceData(row)))%uintptr(p.size) != 0 {
		return geometry.Fit{}, apierror.New(apierror.Internal, "a row of %d bytes, aligned, was expected; it has %d", p.RowBytes(), len(row))
	}
	place := p.spec.Place(pic.size)
	v, scaled, err := p.resized(pic, place)
	if err != nil {
		return geometry.Fit{}, err
	}
	defer scaled.free()
	p.packer.pack(v, place.Target, row)
	return place.Fit, nil
}

// PackPixels writes the whole of row, as Pack does, from an image that has the input's size already: three bytes (blue,
// green, red) a pixel, rows from the top.
func (p *Plan) PackPixels(pixels, row []byte) {
	w, h := p.spec.Width, p.spec.Height
	p.packer.pack(look(pixels, w, image.Rect(0, 0, w, h), 1), image.Rect(0, 0, w, h), row)
}

// resizing is what a placement means for an image, w×h as it is stored.
func (p *Plan) resizing(pic *Image, place geometry.Placement, w, h int) resizing {
	r := resizing{part: storedBox(place.Source, w, h, pic.orientation), size: place.Resized}
	if pic.orientation >= 5 {
		r.size = image.Pt(place.Resized.Y, place.Resized.X)
	}
	wanted := image.Rectangle{Min: place.Cut, Max: place.Cut.Add(place.Target.Size())}
	r.wanted = storedRect(wanted, r.size.X, r.size.Y, pic.orientation)
	r.cuts = p.scaler.cuts(r.part, r.size)
	return r
}

// resized returns the view of what goes into the input, and the matrix behind it where a new one was needed.
func (p *Plan) resized(pic *Image, place geometry.Placement) (view, native, error) {
	r := p.resizing(pic, place, pic.mat.Cols(), pic.mat.Rows())
	mat, shown := pic.mat, r.looksAt()
	var scaled native
	if !r.stays() {
		var err error
		if scaled, err = p.scaler.resize(mat, r); err != nil {
			return view{}, native{}, err
		}
		if mat, shown = scaled, r.wanted; r.cuts {
			shown = image.Rectangle{Max: r.wanted.Size()}
		}
	}
	pixels, err := mat.DataPtrUint8()
	if err != nil {
		scaled.free()
		return view{}, native{}, apierror.Wrap(apierror.Internal, err, "the resized image cannot be read")
	}
	return look(pixels, mat.Cols(), shown, pic.orientation), scaled, nil
}

// packer writes a view into the target of a row, and fill into the rest.
type packer interface {
	pack(v view, target image.Rectangle, row []byte)
}

func newPacker(in repository.Input, v *values) packer {
	switch in.DType {
	case repository.Float16:
		return packerOf(in, v, func(f float64) uint16 { return float16.Bits(float32(f)) })
	case repository.Uint8:
		return packerOf(in, v, func(f float64) uint8 { return uint8(math.RoundToEven(max(0, min(f, 255)))) })
	}
	return packerOf(in, v, func(f float64) float32 { return float32(f) })
}

func packerOf[T element](in repository.Input, v *values, convert func(float64) T) packer {
	if in.Color == repository.ColorGray {
		return newGray(in, v, convert)
	}
	return newTables(in, v, convert)
}

// element is the machine type of a tensor's elements; float16 travels as its bits.
type element interface{ float32 | uint16 | uint8 }

// tables hold what each value of each channel becomes. They are in the order of the decoded pixel (blue, green, red);
// channel says which of the model's channels each one is.
type tables[T element] struct {
	width, height int
	interleaved   bool // nhwc
	channel       [3]int
	blue          [256]T
	green         [256]T
	red           [256]T
	fill          [3]T // in the order of the model's channels
}

func newTables[T element](in repository.Input, v *values, convert func(float64) T) *tables[T] {
	t := &tables[T]{width: in.Width, height: in.Height, interleaved: in.Layout == "nhwc", channel: [3]int{2, 1, 0}}
	if in.Color == repository.ColorBGR {
		t.channel = [3]int{0, 1, 2}
	}
	for i := range 256 {
		t.blue[i] = convert(v.table[t.channel[0]][i])
		t.green[i] = convert(v.table[t.channel[1]][i])
		t.red[i] = convert(v.table[t.channel[2]][i])
	}
	for c := range 3 {
		t.fill[c] = convert(v.fill[c])
	}
	return t
}

func (t *tables[T]) pack(v view, target image.Rectangle, row []byte) {
	out := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), 3*t.width*t.height)
	if t.interleaved {
		t.packInterleaved(v, target, out)
	} else {
		t.packPlanes(v, target, out)
	}
}

// packPlanes writes nchw: one plane a channel.
func (t *tables[T]) packPlanes(v view, target image.Rectangle, out []T) {
	area := t.width * t.height
	for c := range 3 {
		fillAround(out[c*area:(c+1)*area], t.width, target, t.fill[c])
	}
	for y := target.Min.Y; y < target.Max.Y; y++ {
		at := y*t.width + target.Min.X
		blue := out[t.channel[0]*area+at:][:target.Dx()]
		green := out[t.channel[1]*area+at:][:len(blue)]
		red := out[t.channel[2]*area+at:][:len(blue)]
		from := v.origin + (y-target.Min.Y)*v.down
		for x := range blue {
			pixel := v.pixels[from : from+3 : from+3]
			blue[x] = t.blue[pixel[0]]
			green[x] = t.green[pixel[1]]
			red[x] = t.red[pixel[2]]
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

// packInterleaved writes nhwc: the three channels of a pixel side by side.
func (t *tables[T]) packInterleaved(v view, target image.Rectangle, out []T) {
	stride := 3 * t.width
	t.setPixels(out[:target.Min.Y*stride])
	t.setPixels(out[target.Max.Y*stride:])
	b, g, r := t.channel[0], t.channel[1], t.channel[2]
	for y := target.Min.Y; y < target.Max.Y; y++ {
		line := out[y*stride : (y+1)*stride]
		t.setPixels(line[:3*target.Min.X])
		t.setPixels(line[3*target.Max.X:])
		from := v.origin + (y-target.Min.Y)*v.down
		for line = line[3*target.Min.X : 3*target.Max.X]; len(line) >= 3; line = line[3:] {
			pixel := v.pixels[from : from+3 : from+3]
			line[b] = t.blue[pixel[0]]
			line[g] = t.green[pixel[1]]
			line[r] = t.red[pixel[2]]
			from += v.right
		}
	}
}

func (t *tables[T]) setPixels(s []T) {
	for ; len(s) >= 3; s = s[3:] {
		s[0], s[1], s[2] = t.fill[0], t.fill[1], t.fill[2]
	}
}
