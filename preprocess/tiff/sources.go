package tiff

import (
	"context"
	"errors"
	"io"

	"golang.org/x/image/tiff/lzw"

	"fovea/preprocess/header"
	"fovea/preprocess/jpeg"
)

// source decompresses the segments of a plane, row by row.
type source interface {
	// start begins a segment of at least so many rows.
	start(segment []byte, rows, rowBytes int) error
	// next returns the next row, valid until the next call. The caller may change it, unless it is of a plain segment.
	next(rowBytes int) ([]byte, error)
	close()
}

// newSource returns the source of a file's compression.
func newSource(ctx context.Context, file *header.TIFFFile) (source, error) {
	switch file.Compression {
	case header.TIFFLZW:
		return &lzwSource{ctx: ctx}, nil
	case header.TIFFPackBits:
		return &packBits{}, nil
	case header.TIFFJPEG:
		return &jpegSource{ctx: ctx, file: file}, nil
	case header.TIFFDeflate:
		// Compressors begin a block every few kilobytes. Some end one after each row.
		bytes := file.RowBytes() * file.SegmentHeight * file.Across * file.Down
		return newInflater(ctx, 1<<14+2*file.Segments()+bytes/1024)
	}
	return &plain{}, nil
}

// plain is uncompressed.
type plain struct{ rest []byte }

func (p *plain) start(segment []byte, _, _ int) error {
	p.rest = segment
	return nil
}

func (p *plain) next(rowBytes int) ([]byte, error) {
	if len(p.rest) < rowBytes {
		return nil, errEnds
	}
	row := p.rest[:rowBytes]
	p.rest = p.rest[rowBytes:]
	return row, nil
}

func (p *plain) close() {}

// lzwSource decompresses LZW (TIFF 6.0, section 13) with the code lengths that all programs use.
type lzwSource struct {
	ctx    context.Context //nolint:containedctx // of one decode
	reader io.ReadCloser
	row    []byte
}

func (l *lzwSource) start(segment []byte, _, _ int) error {
	l.close()
	l.reader = lzw.NewReader(&byteReader{ctx: l.ctx, rest: segment}, lzw.MSB, 8)
	return nil
}

func (l *lzwSource) next(rowBytes int) ([]byte, error) {
	if len(l.row) != rowBytes {
		l.row = make([]byte, rowBytes)
	}
	_, err := io.ReadFull(l.reader, l.row)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errEnds
	}
	return l.row, err
}

func (l *lzwSource) close() {
	if l.reader != nil {
		_ = l.reader.Close() // always nil
	}
}

// checkInterval is how many compressed bytes are read between two checks of the context. As many LZW codes produce at most 4 MB.
const checkInterval = 1 << 10

// byteReader reads a segment and checks the context.
type byteReader struct {
	ctx  context.Context //nolint:containedctx // of one decode
	rest []byte
}

// ReadByte implements io.ByteReader.
func (r *byteReader) ReadByte() (byte, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	if len(r.rest)%checkInterval == 0 && r.ctx.Err() != nil {
		return 0, r.ctx.Err()
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b, nil
}

// Read implements io.Reader, which package lzw wants and does not use.
func (r *byteReader) Read(b []byte) (int, error) {
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// packBits decompresses PackBits (TIFF 6.0, section 9). Runs may continue in the next row, as libtiff allows.
type packBits struct {
	rest     []byte
	literals int // bytes to copy
	repeats  int // of value
	value    byte
	row      []byte
}

func (p *packBits) start(segment []byte, _, _ int) error {
	p.rest, p.literals, p.repeats = segment, 0, 0
	return nil
}

func (p *packBits) next(rowBytes int) ([]byte, error) {
	if len(p.row) != rowBytes {
		p.row = make([]byte, rowBytes)
	}
	for to := p.row; len(to) > 0; {
		switch {
		case p.literals > 0:
			n := copy(to[:min(len(to), p.literals)], p.rest)
			if n == 0 {
				return nil, errEnds
			}
			p.rest, p.literals, to = p.rest[n:], p.literals-n, to[n:]
		case p.repeats > 0:
			n := min(len(to), p.repeats)
			for i := range to[:n] {
				to[i] = p.value
			}
			p.repeats, to = p.repeats-n, to[n:]
		case len(p.rest) == 0:
			return nil, errEnds
		default:
			p.code()
		}
	}
	return p.row, nil
}

// code reads the head of a run; -128 is none.
func (p *packBits) code() {
	code := int(int8(p.rest[0]))
	p.rest = p.rest[1:]
	switch {
	case code >= 0:
		p.literals = code + 1
	case code != -128 && len(p.rest) > 0:
		p.repeats, p.value = 1-code, p.rest[0]
		p.rest = p.rest[1:]
	}
}

func (p *packBits) close() {}

// jpegSource decodes JPEG (TIFF technical note 2).
type jpegSource struct {
	ctx   context.Context //nolint:containedctx // of one decode
	file  *header.TIFFFile
	rows  *jpeg.Rows
	out   []byte
	left  int // rows not yet decoded
	ready []byte
}

func (j *jpegSource) start(segment []byte, rows, _ int) error {
	j.close()
	samples := j.file.Samples
	if j.file.Separate {
		samples = 1
	}
	opened, err := jpeg.Open(j.ctx, jpeg.Part{
		Data: segment, Tables: j.file.Tables, Width: j.file.SegmentWidth, Least: rows, Most: j.file.SegmentHeight, Samples: samples,
		YCbCr: j.file.Color == header.TIFFYCbCr,
	})
	j.rows, j.left, j.ready = opened, rows, nil
	return err
}

func (j *jpegSource) next(rowBytes int) ([]byte, error) {
	if len(j.ready) == 0 {
		n := min(j.left, max(1, min(16, atOnce/rowBytes)))
		if cap(j.out) < n*rowBytes {
			j.out = make([]byte, n*rowBytes)
		}
		j.ready = j.out[:n*rowBytes]
		if err := j.rows.Read(j.ready, n); err != nil {
			return nil, err
		}
		j.left -= n
	}
	row := j.ready[:rowBytes]
	j.ready = j.ready[rowBytes:]
	return row, nil
}

func (j *jpegSource) close() {
	if j.rows != nil {
		j.rows.Close()
		j.rows = nil
	}
}
