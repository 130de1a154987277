package jpeg

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"fovea/internal/testenv"
)

// TestRowsAreThoseOfTheImage reads a JPEG in pieces, whole and with its tables apart.
func TestRowsAreThoseOfTheImage(t *testing.T) {
	data := testenv.FormatSample(t, "jpeg_444.jpg")
	want := make([]byte, 3*96*72)
	if err := Decode(t.Context(), data, 1, want, 96, 72, 0, 96); err != nil {
		t.Fatal(err)
	}
	start, frame := bytes.Index(data, []byte{0xFF, 0xDB}), bytes.Index(data, []byte{0xFF, 0xC0})
	tables := bytes.Join([][]byte{data[:2], data[start:frame], {0xFF, 0xD9}}, nil)
	apart := append(bytes.Clone(data[:2]), data[frame:]...)
	for what, part := range map[string]Part{"whole": {Data: data}, "tables apart": {Data: apart, Tables: tables}} {
		part.Width, part.Least, part.Most, part.Samples, part.YCbCr = 96, 70, 80, 3, true
		rows, err := Open(t.Context(), part)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := make([]byte, 3*96*70)
		for y, n := 0, 1; y < 70; n = min(n+6, 70-y) {
			if err := rows.Read(got[3*96*y:], n); err != nil {
				t.Fatal(err)
			}
			y += n
		}
		rows.Close()
		for i := range got {
			if got[i] != want[i/3*3+2-i%3] {
				t.Fatalf("%s: sample %d is %d, want %d", what, i, got[i], want[i/3*3+2-i%3])
			}
		}
	}
}

func TestRowsStopOnCancel(t *testing.T) {
	part := Part{Data: testenv.FormatSample(t, "jpeg_444.jpg"), Width: 96, Least: 72, Most: 72, Samples: 3, YCbCr: true}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, part); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	rows, err := Open(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if err := rows.Read(make([]byte, 3*96*73), 73); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a row behind the last: %v", err)
	}
}
