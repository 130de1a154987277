package safeyaml

import "testing"

func TestWhatMakesTheDecoderPanicIsAnError(t *testing.T) {
	for _, text := range []string{"!0000000000000000 00", "[1, 2]"} {
		var list []string
		err := Unmarshal([]byte(text), &list)
		if (err != nil) != (text[0] == '!') {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("a: [1, {b: c}]\n"))
	f.Add([]byte("!t &x {<<: *x}"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		var tree map[string]any
		var list []string
		_, _ = Unmarshal(data, &tree), Unmarshal(data, &list) // neither panics
	})
}
