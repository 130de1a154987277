package header

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
)

// FuzzRead checks that Read returns only its three codes, and only sizes within the limits.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("../testdata/images/*")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(testenv.FormatSample(f, filepath.Base(file)))
	}
	f.Add(claim(30000, 30000))
	others, err := filepath.Glob("../testdata/formats/*.[gt]if")
	if err != nil || len(others) == 0 {
		f.Fatal(err)
	}
	for _, file := range others {
		f.Add(sample(f, filepath.Base(file)))
	}
	for _, pattern := range []string{"../testdata/heif/*.avif", "../testdata/heif/*.heic"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		info, err := Read(data, Limits{})
		if err != nil {
			if c := apierror.From(err).Code; c != apierror.Undecodable && c != apierror.UnsupportedFormat && c != apierror.ImageTooLarge {
				t.Fatalf("code %s: %v", c, err)
			}
			return
		}
		pixels := int64(info.Width) * int64(info.Height)
		if info.Width < 1 || info.Height < 1 || pixels > DefaultMaxPixels || info.Orientation < 1 || info.Orientation > 8 {
			t.Fatalf("accepted %+v", info)
		}
		if info.Format == TIFF {
			everySegment(t, data)
		}
		if info.Format == AVIF || info.Format == HEIC {
			everyTile(t, data, info)
		}
		if info.Format != WebP {
			return
		}
		if chunk := Chunk(data, info); len(chunk) < 8 || len(chunk) > len(data) || chunk[0] != 'V' {
			t.Fatalf("a chunk of %d bytes", len(chunk))
		}
	})
}

// everySegment reads the segments of a TIFF that was accepted.
func everySegment(t *testing.T, data []byte) {
	file, err := ParseTIFF(data)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range file.Segments() {
		sum += len(file.Segment(i))
	}
	if file.Compression != TIFFPlain && sum > len(data) {
		t.Fatalf("segments of %d bytes in a file of %d", sum, len(data))
	}
}

// everyTile reads the tiles of an AVIF or a HEIC that was accepted.
func everyTile(t *testing.T, data []byte, info Info) {
	file, err := ParseHEIF(data)
	if err != nil || file.Width != info.Width || file.Height != info.Height || file.Format != info.Format {
		t.Fatal(file.Width, file.Height, err)
	}
	for _, img := range []*HEIFImage{&file.Color, file.Alpha} {
		if img == nil {
			continue
		}
		sum := 0
		for _, parts := range img.Tiles {
			for _, p := range parts {
				sum += len(p)
			}
		}
		covered := img.Columns*img.TileWidth >= file.Crop.Max.X && img.Rows*img.TileHeight >= file.Crop.Max.Y
		if sum > len(data) || len(img.Tiles) != img.Columns*img.Rows || !covered || img.Frames < 1 || img.Frames > maxFrames {
			t.Fatalf("%d tiles of %d bytes in %d: %+v", len(img.Tiles), sum, len(data), img)
		}
	}
}

// BenchmarkReadJPEG walks a JPEG of 5 MB; in real ones about one byte in 200 is a stuffed 0xFF.
func BenchmarkReadJPEG(b *testing.B) {
	jpeg := testenv.FormatSample(b, "jpeg_444.jpg")
	block := append(bytes.Repeat([]byte{0x5A}, 198), 0xFF, 0)
	data := bytes.Join([][]byte{jpeg[:len(jpeg)-2], bytes.Repeat(block, 5<<20/len(block)), {0xFF, 0xD9}}, nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
