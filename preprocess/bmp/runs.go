package bmp

import "errors"

var (
	errEnds = errors.New("the runs end before the rows do")
	errLong = errors.New("a run is longer than what is left of its row")
)

// The second bytes of commands, whose first byte is 0. Others are numbers of literal indices.
const (
	endOfRow   = 0
	endOfImage = 1
	delta      = 2
)

// runs decodes run-length coded rows. Each pixel is written once, by a run, by literals or because it is left out, so
// that the work is bounded by the pixels and the bytes.
func (d *decoder) runs(in []byte) error {
	total := d.Width * d.Height
	at := 0           // pixels, in the order in which they are stored
	rowEnded := false // by a run; an end of row behind it says the same again
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
			at = d.leaveOut(at, d.Width-at%d.Width)
		case code == endOfImage:
			at = d.leaveOut(at, total-at)
		case len(in) < 2:
			return errEnds
		default:
			at, in = d.leaveOut(at, int(in[0])+d.Width*int(in[1])), in[2:]
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

// run repeats an index of 8 bits, or two of 4 bits in turns.
func (d *decoder) run(at, count int, code byte) (int, error) {
	to, err := d.place(at, count)
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
	to, err := d.place(at, count)
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

// place is where pixels of one row lie.
func (d *decoder) place(at, count int) ([]byte, error) {
	x := at % d.Width
	if count > d.Width-x {
		return nil, errLong
	}
	return d.row(at / d.Width)[3*x : 3*(x+count)], nil
}

// leaveOut gives pixels the first colour of the palette, at most as many as there are.
func (d *decoder) leaveOut(at, count int) int {
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
