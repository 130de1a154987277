package bmp

import "errors"

var (
	errEnds = errors.New("the runs end before the rows do")
	errLong = errors.New("a run exceeds its row")
)

// The second bytes of commands, whose first byte is 0. Others are numbers of literal indices.
const (
	endOfRow   = 0
	endOfImage = 1
	delta      = 2
)

// runs decodes run-length coded rows. Each pixel is written once, by a run, by literals or because it is skipped, so that the
// work is bounded by the pixels and the bytes.
func (d *decoder) runs(in []byte) error {
	total := d.Width * d.Height
	at := 0           // pixels in stored order
	rowEnded := false // by a run; an end of row after it is redundant
	for at < total {
		if len(in) < 2 {
			return errEnds
		}
		count, code := int(in[0]), in[1]
		in = in[2:]
		var err error
		before := at
		switch {
		case count > 0:
			at, err = d.run(at, count, code)
		case code > delta:
			at, in, err = d.literals(at, int(code), in)
		case code == endOfRow && rowEnded:
		case code == endOfRow:
			at = d.skip(at, d.Width-at%d.Width)
		case code == endOfImage:
			at = d.skip(at, total-at)
		case len(in) < 2:
			return errEnds
		default:
			at, in = d.skip(at, int(in[0])+d.Width*int(in[1])), in[2:]
		}
		if err == nil {
			err = d.tick(1 + at - before)
		}
		if err != nil {
			return err
		}
		rowEnded = (count > 0 || code > delta) && at%d.Width == 0
	}
	return nil
}

// run repeats an index of 8 bits, or two of 4 bits alternately.
func (d *decoder) run(at, count int, code byte) (int, error) {
	to, err := d.pixelsAt(at, count)
	if err != nil {
		return at, err
	}
	colors := [2][3]byte{d.Palette[code], d.Palette[code]}
	if d.Bits == 4 {
		colors = [2][3]byte{d.Palette[code>>4], d.Palette[code&15]}
	}
	for i := range count {
		*(*[3]byte)(to[3*i:]) = colors[i&1]
	}
	return at + count, nil
}

// literals reads indices, padded to two bytes.
func (d *decoder) literals(at, count int, in []byte) (int, []byte, error) {
	to, err := d.pixelsAt(at, count)
	if err != nil {
		return at, in, err
	}
	padded := ((count*d.Bits+7)/8 + 1) &^ 1
	if len(in) < padded {
		return at, in, errEnds
	}
	if d.Bits == 4 {
		d.small(in, to)
	} else {
		d.indices(in[:count], to)
	}
	return at + count, in[padded:], nil
}

// pixelsAt returns the memory of pixels within one row.
func (d *decoder) pixelsAt(at, count int) ([]byte, error) {
	x := at % d.Width
	if count > d.Width-x {
		return nil, errLong
	}
	return d.row(at / d.Width)[3*x : 3*(x+count)], nil
}

// skip sets pixels to the first color of the palette, up to the end of the image.
func (d *decoder) skip(at, count int) int {
	for end := min(at+count, d.Width*d.Height); at < end; {
		x := at % d.Width
		to := d.row(at / d.Width)[3*x : 3*min(d.Width, x+end-at)]
		copy(to, d.Palette[0][:])
		for done := 3; done < len(to); done *= 2 {
			copy(to[done:], to[:done])
		}
		at += len(to) / 3
	}
	return at
}
