package float16

import (
	"math"
	"testing"
)

func TestValueOfAllFloat16s(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{
		{0x0000, 0}, {0x0001, math.Pow(2, -24)}, {0x03ff, 1023 * math.Pow(2, -24)}, {0x0400, math.Pow(2, -14)},
		{0x3c00, 1}, {0x3555, 0.333251953125}, {0x7bff, 65504}, {0xc000, -2}, {0x8001, -math.Pow(2, -24)},
		{0x7c00, math.Inf(1)}, {0xfc00, math.Inf(-1)},
	} {
		if got := float64(Value(c.bits)); got != c.want {
			t.Errorf("%#04x is %v, want %v", c.bits, got, c.want)
		}
	}
	for h := range uint32(1 << 16) { // by the definition: (−1)ˢ · 2^(e−25) · (1024 + f), and 2⁻²⁴ · f for e = 0
		e, f := int(h>>10&0x1f), float64(h&0x3ff)
		want := math.Ldexp(1024+f, e-25)
		if e == 0 {
			want = math.Ldexp(f, -24)
		}
		if h>>15 == 1 {
			want = -want
		}
		got := Value(uint16(h))
		if e == 0x1f {
			if got-got == 0 || (f != 0) != (got != got) {
				t.Errorf("%#04x is %v", h, got)
			}
		} else if float64(got) != want || math.Signbit(float64(got)) != (h>>15 == 1) {
			t.Errorf("%#04x is %v, want %v", h, got, want)
		}
	}
}

func TestBitsRoundToTheNearestFloat16(t *testing.T) {
	for h := range 0x7C00 { // all finite, positive ones
		here, next := float64(Value(uint16(h))), float64(Value(uint16(h+1)))
		if h == 0x7BFF {
			next = 65536 // where the next one would be
		}
		middle := (here + next) / 2
		even := uint16(h + h&1)
		for value, want := range map[float64]uint16{here: uint16(h), middle: even,
			math.Nextafter(middle, here) /* float64: rounds to middle in float32 */ : even} {
			if got := Bits(float32(value)); got != want {
				t.Fatalf("Bits(%v) is %#x, want %#x", value, got, want)
			}
		}
		below := math.Nextafter32(float32(middle), float32(here))
		if got := Bits(-below); got != uint16(h)|0x8000 {
			t.Fatalf("Bits(%v) is %#x, want %#x", -below, got, h|0x8000)
		}
	}
	for value, want := range map[float32]uint16{float32(math.Inf(1)): 0x7C00, -1e9: 0xFC00, 1e-12: 0} {
		if got := Bits(value); got != want {
			t.Errorf("Bits(%v) is %#x, want %#x", value, got, want)
		}
	}
	if h := Bits(float32(math.NaN())); !math.IsNaN(float64(Value(h))) {
		t.Errorf("Bits(NaN) is %#x", h)
	}
}
