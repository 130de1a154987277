package preprocess

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gocv.io/x/gocv"
	"golang.org/x/sys/unix"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
	"fovea/preprocess/header"
)

// ignoreOrientation is OpenCV's IMREAD_IGNORE_ORIENTATION.
const ignoreOrientation = 128

// byOpenCV decodes a file with OpenCV; nil if it fails.
func byOpenCV(t testing.TB, data []byte) []byte {
	t.Helper()
	m := own(gocv.NewMat())
	defer m.free()
	if err := gocv.IMDecodeIntoMat(data, gocv.IMReadColor|ignoreOrientation, &m.Mat); err != nil || m.Empty() {
		return nil
	}
	return m.ToBytes()
}

// byUs decodes a file into memory with other contents.
func byUs(t testing.TB, data []byte) ([]byte, error) {
	t.Helper()
	info, err := header.Read(data, header.Limits{})
	if err != nil {
		return nil, err
	}
	dirty(info.Width, info.Height, 0xA5)
	img, err := mustPlan(t, bytesInput(8, 8)).Decode(t.Context(), data, info)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	return img.mat.ToBytes(), nil
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

// depths are the bits that each color type may have.
var depths = map[int][]int{0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

// TestPNGIsDecodedAsOpenCVDoes tries every color type, depth, filter and kind of interlacing at small sizes, where the
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

func TestWebPIsDecodedAsOpenCVDoes(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.webp")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d images, %v", len(files), err)
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

// TestPNGIsCompleteWithItsRows truncates PNGs anywhere: either all pixels are there, or the error says that the file is truncated.
func TestPNGIsCompleteWithItsRows(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.png")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d images, %v", len(files), err)
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
			if f := apierror.From(err); err != nil && (f.Code != apierror.Undecodable || !strings.Contains(f.Message, "truncated")) {
				t.Errorf("%s cut to %d of %d bytes: %v", file, n, len(data), err)
			}
		}
		if _, err := byUs(t, data[:len(data)-12]); err != nil {
			t.Errorf("%s without its last chunk, which says nothing: %v", file, err)
		}
	}
}

// TestDecodersWriteNothing decodes corrupt images of all formats and finds nothing on the process's standard error and
// output.
func TestDecodersWriteNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	files = append(files, formatFiles(t)...)
	said := silently(t, func() {
		random := rand.New(rand.NewPCG(13, 14))
		for _, file := range files {
			data := read(t, file)
			info := mustInfo(t, data)
			for range 20 {
				img, err := mustPlan(t, bytesInput(8, 8)).Decode(t.Context(), damaged(data, random.IntN(len(data))), info)
				if err == nil {
					img.Close()
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
// and what OpenCV decodes we decode too, except a WebP whose image continues after its chunk, which libwebp allows.
func FuzzAsOpenCV(f *testing.F) {
	random := rand.New(rand.NewPCG(15, 16))
	for _, pattern := range []string{"*.bmp", "*.webp"} {
		files, err := filepath.Glob("testdata/images/" + pattern)
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
			data = k.fileOf(random, testenv.Deflated(t, data, 1))
		}
		info, err := header.Read(data, header.Limits{MaxPixels: 1 << 16})
		if err != nil || !slices.Contains([]header.Format{header.PNG, header.WebP, header.BMP}, info.Format) || info.Animated || len(data) > 1<<16 {
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
