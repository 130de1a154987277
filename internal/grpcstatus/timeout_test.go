package grpcstatus

import (
	"math"
	"testing"
	"time"
)

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "10S": 10 * time.Second, "4m": 4 * time.Millisecond,
		"99999999m": 99_999_999 * time.Millisecond, "5u": 5 * time.Microsecond, "6n": 6, "0n": 0, "99999999S": 99_999_999 * time.Second, "99999999H": math.MaxInt64, "0S": 0} {
		if got, ok := ParseTimeout(text); !ok || got != want {
			t.Errorf("%s: %s, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", " 1S", "1 S"} {
		if got, ok := ParseTimeout(text); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0n", 0: "0n", 1: "1n", 99_999_999: "99999999n", 100_000_000: "100000u", 100_000_001: "100001u",
		100 * time.Second: "100000m", 100_000*time.Second + 1: "100001S", 99_999_999 * time.Second: "99999999S", math.MaxInt64: "99999999S"} {
		if got := FormatTimeout(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

// A timeout that is passed on is never shorter than what is left, and has the form that it was read in.
func FuzzTimeout(f *testing.F) {
	f.Add("1S")
	f.Add("99999999H")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := ParseTimeout(text)
		if !ok {
			return
		}
		again, ok := ParseTimeout(FormatTimeout(d))
		if !ok || again < d && d < 99_999_999*time.Second {
			t.Errorf("%q is %s, passed on as %q", text, d, FormatTimeout(d))
		}
	})
}
