package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gocv.io/x/gocv"
	"golang.org/x/sys/unix"

	"fovea/fault"
	"fovea/preprocess/header"
)

// ignoreOrientation is OpenCV's IMREAD_IGNORE_ORIENTATION.
const ignoreOrientation = 128

// byOpenCV decodes a file with OpenCV; nil where it refuses.
func byOpenCV(t testing.TB, data []byte) []byte {
	t.Helper()
	m := own(gocv.NewMat())
	defer m.free()
	if err := gocv.IMDecodeIntoMat(data, gocv.IMReadColor|ignoreOrientation, &m.Mat); err != nil || m.Empty() {
		return nil
	}
	return m.ToBytes()
}

// byUs decodes a file into memory that held something else before.
func byUs(t testing.TB, data []byte) ([]byte, error) {
	t.Helper()
	info, err := header.Read(data, header.Limits{})
	if err != nil {
		return nil, err
	}
	dirty(info.Width, info.Height, 0xA5)
	pic, err := mustPlan(t, bytesInput(8, 8)).Decode(t.Context(), data, info)
	if err != nil {
		return nil, err
	}
	defer pic.Close()
	return pic.mat.ToBytes(), nil
}

// sameAsOpenCV wants the same pixels to the bit.
func sameAsOpenCV(t testing.TB, what string, data []byte) {
	t.Helper()
	theirs := byOpenCV(t, data)
	ours, err := byUs(t, data)
	if err != nil || theirs == nil {
		t.Errorf("%s: OpenCV decodes it: %v; we say %v", what, theirs != nil, err)
		return
	}
	if !bytes.Equal(ours, theirs) {
		_, worst := difference(ours, theirs)
		t.Errorf("%s: differs from OpenCV by up to %d", what, worst)
	}
}

// pngKind is how a PNG is written.
type pngKind struct {
	width, height, depth, color int
	interlaced                  bool
	filter                      int // 0 to 4, or -1 for all in turn
	chunk                       int // bytes of an IDAT at most
	palette                     int // entries
	level                       int // of zlib
}

func (k pngKind) String() string {
	return fmt.Sprintf("%d×%d, colour type %d, %d bits, interlaced %v, filter %d, IDATs of %d, palette of %d",
		k.width, k.height, k.color, k.depth, k.interlaced, k.filter, k.chunk, k.palette)
}

func pngChunk(kind string, body []byte) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	out = append(out, body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// head is a PNG up to its first IDAT.
func (k pngKind) head(random *rand.Rand) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(k.width)), uint32(k.height))
	interlaced := byte(0)
	if k.interlaced {
		interlaced = 1
	}
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(ihdr, byte(k.depth), byte(k.color), 0, 0, interlaced))...)
	if k.palette > 0 {
		out = append(out, pngChunk("PLTE", noise(random, 3*k.palette))...)
	}
	return out
}

// rows are filtered rows of random bytes, those of all passes one after another.
func (k pngKind) rows(random *rand.Rand) []byte {
	bits := map[int]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[k.color] * k.depth
	passes := [][4]int{{0, 0, 1, 1}}
	if k.interlaced {
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	var out []byte
	for _, p := range passes {
		w, h := (k.width-p[0]+p[2]-1)/p[2], (k.height-p[1]+p[3]-1)/p[3]
		for y := 0; y < h && w > 0; y++ {
			filter := k.filter
			if filter < 0 {
				filter = y % 5
			}
			out = append(append(out, byte(filter)), noise(random, (w*bits+7)/8)...)
		}
	}
	return out
}

func (k pngKind) file(t testing.TB, random *rand.Rand) []byte {
	t.Helper()
	return k.fileOf(random, deflated(t, k.rows(random), k.level))
}

// fileOf is a PNG with given compressed data.
func (k pngKind) fileOf(random *rand.Rand, compressed []byte) []byte {
	out := k.head(random)
	for len(compressed) > 0 {
		n := min(k.chunk, len(compressed))
		out, compressed = append(out, pngChunk("IDAT", compressed[:n])...), compressed[n:]
	}
	return append(out, pngChunk("IEND", nil)...)
}

func deflated(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func noise(random *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}

// depths are the bits that each colour type may have.
var depths = map[int][]int{0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

// TestPNGIsDecodedAsOpenCVDoes tries every colour type, depth, filter and kind of interlacing at small sizes, where the
// passes of some have no pixels, and at some larger ones.
func TestPNGIsDecodedAsOpenCVDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for color, some := range depths {
		for _, depth := range some {
			for _, interlaced := range []bool{false, true} {
				for i := range 40 {
					k := pngKind{width: 1 + random.IntN(12), height: 1 + random.IntN(12), depth: depth, color: color,
						interlaced: interlaced, filter: i%6 - 1, chunk: 1 + random.IntN(60), level: i % 10}
					if i%10 == 9 {
						k.width, k.height, k.chunk = 300+random.IntN(200), 300+random.IntN(50), 1+random.IntN(9000)
					}
					if color == 3 {
						k.palette = 1 + random.IntN(1<<depth)
					}
					sameAsOpenCV(t, k.String(), k.file(t, random))
				}
			}
		}
	}
}

func TestBMPIsDecodedAsOpenCVDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, bits := range []int{1, 4, 8, 16, 24, 32} {
		for i := range 60 {
			width, height := 1+random.IntN(20), 1+random.IntN(9)
			if i%10 == 9 {
				width, height = 100+random.IntN(500), 100+random.IntN(400)
			}
			k := bmpKind{width: width, height: height, bits: bits, topDown: i%2 == 1, core: i%5 == 4 && bits != 16}
			k.rows = noise(random, (width*bits+31)/32*4*height)
			if bits <= 8 && !k.core {
				k.colors = random.IntN(1<<bits + 1)
			}
			if bits >= 16 && bits != 24 && !k.core && i%3 == 2 {
				k.compression = 3
				k.masks = [3]uint32{0xF800, 0x07E0, 0x001F}
				if bits == 32 {
					k.masks = [3]uint32{0xFF0000, 0x00FF00, 0x0000FF}
				}
			}
			what := fmt.Sprintf("%d×%d, %d bits, compression %d, palette of %d, core %v, top down %v", width, height, bits, k.compression, k.colors, k.core, k.topDown)
			sameAsOpenCV(t, what, k.file(random))
		}
	}
}

func TestRunLengthCodedBMPIsDecodedAsOpenCVDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for _, bits := range []int{4, 8} {
		for i := range 400 {
			k := bmpKind{width: 1 + random.IntN(300), height: 1 + random.IntN(30), bits: bits, topDown: i%4 == 3, compression: 2 - uint32(bits/8)}
			k.rows = runs(random, k.width, k.height, bits)
			sameAsOpenCV(t, fmt.Sprintf("run-length coded, %d bits, %d×%d", bits, k.width, k.height), k.file(random))
		}
	}
}

// bmpKind is how a BMP is written.
type bmpKind struct {
	width, height, bits int
	topDown, core       bool
	compression         uint32
	masks               [3]uint32
	colors              int // 0: as many as there are indices
	rows                []byte
}

func (k bmpKind) file(random *rand.Rand) []byte {
	le := binary.LittleEndian
	var head []byte
	height := int32(k.height)
	if k.topDown {
		height = -height
	}
	palette := 0
	if k.bits <= 8 {
		if palette = k.colors; palette == 0 {
			palette = 1 << k.bits
		}
	}
	if k.core {
		head = le.AppendUint32(nil, 12)
		head = le.AppendUint16(le.AppendUint16(head, uint16(k.width)), uint16(k.height))
		head = append(le.AppendUint16(le.AppendUint16(head, 1), uint16(k.bits)), noise(random, 3*palette)...)
	} else {
		head = le.AppendUint32(nil, 40)
		head = le.AppendUint32(le.AppendUint32(head, uint32(k.width)), uint32(height))
		head = le.AppendUint16(le.AppendUint16(head, 1), uint16(k.bits))
		head = le.AppendUint32(head, k.compression)
		head = append(head, make([]byte, 12)...)
		head = le.AppendUint32(le.AppendUint32(head, uint32(k.colors)), 0)
		if k.compression == 3 {
			for _, m := range k.masks {
				head = le.AppendUint32(head, m)
			}
		}
		head = append(head, noise(random, 4*palette)...)
	}
	out := append([]byte("BM"), make([]byte, 12)...)
	le.PutUint32(out[10:], uint32(14+len(head)))
	return append(append(out, head...), k.rows...)
}

// runs are run-length coded rows of all kinds of commands, and the end of the image.
func runs(random *rand.Rand, width, height, bits int) []byte {
	var out []byte
	for range height {
		for x := 0; x < width; {
			n := 1 + random.IntN(min(255, width-x))
			switch kind := random.IntN(4); {
			case kind == 0 && n > 2:
				body := noise(random, (n*bits+7)/8)
				if len(body)%2 == 1 {
					body = append(body, 0)
				}
				out = append(append(out, 0, byte(n)), body...)
			case kind == 1 && n < width-x:
				out = append(out, 0, 2, byte(n), 0) // to the right
			case kind == 2 && x > 0:
				n = width - x // nothing more in this row
			default:
				out = append(out, byte(n), byte(random.Uint32()))
			}
			x += n
		}
		out = append(out, 0, 0)
	}
	return append(out, 0, 1)
}

func TestWebPIsDecodedAsOpenCVDoes(t *testing.T) {
	files, err := filepath.Glob("testdata/pictures/*.webp")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, file := range files {
		if data := read(t, file); !mustInfo(t, data).Animated {
			sameAsOpenCV(t, file, data)
		}
	}
	random := rand.New(rand.NewPCG(11, 12))
	for i := range 150 {
		width, height := 1+random.IntN(80), 1+random.IntN(60)
		if i%10 == 9 {
			width, height = 500+random.IntN(200), 200+random.IntN(100)
		}
		for _, quality := range []int{10, 75, 101} { // OpenCV takes more than 100 for lossless
			sameAsOpenCV(t, fmt.Sprintf("%d×%d, number %d, quality %d", width, height, i, quality), webpOf(t, random, width, height, i, quality))
		}
	}
}

// webpOf is a WebP of few or many colours, smooth or not, with or without alpha.
func webpOf(t testing.TB, random *rand.Rand, width, height, kind, quality int) []byte {
	t.Helper()
	channels, matType := 3, gocv.MatTypeCV8UC3
	if kind%4 == 3 {
		channels, matType = 4, gocv.MatTypeCV8UC4
	}
	colors := noise(random, channels*[]int{1, 2, 3, 4, 5, 16, 17, 200, 256, 5000}[kind%10])
	pixels := make([]byte, channels*width*height)
	for i := range width * height {
		x, y := i%width, i/width
		for c := range channels {
			switch kind % 3 {
			case 0:
				pixels[channels*i+c] = byte(x*(c+1) + y*3 + random.IntN(1+kind%7))
			default:
				pixels[channels*i+c] = colors[(channels*(x/3+y/5*7)+c)%len(colors)]
			}
		}
	}
	m, err := gocv.NewMatFromBytes(height, width, matType, pixels)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out, err := gocv.IMEncodeWithParams(".webp", m, []int{64, quality}) // IMWRITE_WEBP_QUALITY
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	return bytes.Clone(out.GetBytes())
}

// TestAWholePNGIsAMatterOfItsRows cuts PNGs anywhere: either all pixels are there, or the file is said to be cut short.
func TestAWholePNGIsAMatterOfItsRows(t *testing.T) {
	files, err := filepath.Glob("testdata/pictures/*.png")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, file := range files {
		data := read(t, file)
		whole, err := byUs(t, data)
		if err != nil {
			t.Fatal(err)
		}
		for n := len(data) - 1; n > 30; n -= 1 + n/50 {
			half, err := byUs(t, data[:n])
			if err == nil && !bytes.Equal(half, whole) {
				t.Errorf("%s cut to %d of %d bytes: half an image was decoded", file, n, len(data))
			}
			if f := fault.From(err); err != nil && (f.Code != fault.Undecodable || !strings.Contains(f.Message, "cut short")) {
				t.Errorf("%s cut to %d of %d bytes: %v", file, n, len(data), err)
			}
		}
		if _, err := byUs(t, data[:len(data)-12]); err != nil {
			t.Errorf("%s without its last chunk, which says nothing: %v", file, err)
		}
	}
}

// TestDecodersWriteNothing decodes broken images of all formats and finds nothing on the process's standard error and
// output.
func TestDecodersWriteNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/pictures/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	said := silently(t, func() {
		random := rand.New(rand.NewPCG(13, 14))
		for _, file := range files {
			data := read(t, file)
			info := mustInfo(t, data)
			for range 20 {
				pic, err := mustPlan(t, bytesInput(8, 8)).Decode(t.Context(), damaged(data, random.IntN(len(data))), info)
				if err == nil {
					pic.Close()
				}
			}
		}
	})
	if len(said) > 0 {
		t.Errorf("%.200q", said)
	}
}

// silently returns what is written to the process's standard error and output meanwhile, by C code too.
func silently(t *testing.T, do func()) []byte {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, fd := range []int{1, 2} {
		kept, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(file.Fd()), fd, 0); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = unix.Dup3(kept, fd, 0)
			_ = unix.Close(kept)
		}()
	}
	do()
	said, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// FuzzAsOpenCV gives changed files and compressed data to us and to OpenCV. What both decode must be the same to the bit,
// and what OpenCV decodes we decode too, but for a WebP whose image goes on behind its chunk, which libwebp allows.
func FuzzAsOpenCV(f *testing.F) {
	random := rand.New(rand.NewPCG(15, 16))
	for _, pattern := range []string{"*.bmp", "*.webp"} {
		files, err := filepath.Glob("testdata/pictures/" + pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err)
		}
		for _, file := range files {
			f.Add(read(f, file), -1, 0, false, 0, 0)
		}
	}
	for color, some := range depths {
		for _, depth := range some {
			k := pngKind{width: 9, height: 7, depth: depth, color: color, filter: -1}
			f.Add(k.rows(random), color, depth, depth%3 == 0, 9, 7)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, color, depth int, interlaced bool, width, height int) {
		if color >= 0 {
			k := pngKind{width: width & 63, height: height & 63, depth: depth, color: color, interlaced: interlaced, chunk: 1 << 10, palette: 3}
			if !slices.Contains(depths[color], depth) {
				return
			}
			data = k.fileOf(random, deflated(t, data, 1))
		}
		info, err := header.Read(data, header.Limits{MaxPixels: 1 << 16})
		if err != nil || info.Format == header.JPEG || info.Animated || len(data) > 1<<16 {
			return
		}
		theirs := byOpenCV(t, data)
		ours, err := byUs(t, data)
		if theirs != nil && err != nil && info.Format != header.WebP {
			t.Errorf("OpenCV decodes what we refuse: %v", err)
		}
		if theirs != nil && err == nil && !bytes.Equal(ours, theirs) {
			_, worst := difference(ours, theirs)
			t.Errorf("%v differs from OpenCV by up to %d", info.Format, worst)
		}
	})
}
