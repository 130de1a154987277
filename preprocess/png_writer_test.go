package preprocess

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"gocv.io/x/gocv"

	"fovea/internal/testenv"
)

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
	return fmt.Sprintf("%d×%d, color type %d, %d bits, interlaced %v, filter %d, IDATs of %d, palette of %d",
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
	return k.fileOf(random, testenv.Deflated(t, k.rows(random), k.level))
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

func noise(random *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
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

// webpOf is a WebP of few or many colors, smooth or not, with or without alpha.
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
