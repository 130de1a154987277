package preprocess

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// TestTruncatedJPEGIsRejectedOrComplete truncates every JPEG at many offsets, and at each of the last hundred. What is
// accepted has all pixels of the image; a missing end marker, or anything in its place, is accepted.
func TestTruncatedJPEGIsRejectedOrComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	small := bytesInput(4, 4) // 96×72 is decoded at 1/8
	small.Resize = repository.Letterbox
	plans := []*Plan{mustPlan(t, bytesInput(96, 72)), mustPlan(t, small)}
	for _, file := range files {
		whole := read(t, file)
		end := len(header.Chunk(whole, mustInfo(t, whole))) // of the last scan
		for i, plan := range plans {
			want := prepared(t, plan, whole)
			for n := 2; n <= len(whole); n++ {
				if n < end-100 && n%17 != i {
					continue
				}
				for _, trailer := range []string{"", "\xff\xd9", "\xff\xd8\xff\xe0 another", "\xff\xfe\x00\x04ab"} {
					data := append(bytes.Clone(whole[:n]), trailer...)
					row, err := rowOf(t, plan, data)
					f := apierror.From(err)
					switch {
					case err != nil && n >= end:
						t.Errorf("%s cut to %d of %d bytes, after its last scan, with %q behind: %v", file, n, len(whole), trailer, err)
					case err != nil && f.Code != apierror.Undecodable:
						t.Errorf("%s cut to %d of %d bytes with %q behind: %v", file, n, len(whole), trailer, err)
					case err != nil && trailer == "" && n > 600 && !strings.Contains(f.Message, "truncated"):
						t.Errorf("%s cut to %d of %d bytes: %v", file, n, len(whole), err)
					case err == nil && !slices.Equal(row, want):
						t.Errorf("%s cut to %d of %d bytes with %q behind is accepted, with other pixels", file, n, len(whole), trailer)
					case err == nil && n < end-20:
						t.Errorf("%s cut to %d of %d bytes is accepted", file, n, len(whole))
					}
				}
			}
		}
	}
}

// rowOf reads, decodes and packs.
func rowOf(t *testing.T, plan *Plan, data []byte) ([]byte, error) {
	t.Helper()
	info, err := header.Read(data, header.Limits{})
	if err != nil {
		return nil, err
	}
	img, err := plan.Decode(t.Context(), data, info)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	row := poisoned(plan.RowBytes())
	_, err = plan.Pack(img, row)
	return row, err
}

// TestTrailingDataIsIgnored replaces the end marker by other bytes without markers, which only the decoder can tell from the
// scan's data.
func TestTrailingDataIsIgnored(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	plan := mustPlan(t, bytesInput(32, 32))
	for _, file := range files {
		whole := read(t, file)
		bare := header.Chunk(whole, mustInfo(t, whole))
		want := prepared(t, plan, whole)
		for _, trailer := range []string{"dhav\x00\x01\x02", strings.Repeat("\x00", 5000), "\xff", "\xff\xff\xff", "\xff\x00\xff\x00", "\xff\xd0\xff\xd1"} {
			row, err := rowOf(t, plan, append(bytes.Clone(bare), trailer...))
			if err != nil || !slices.Equal(row, want) {
				t.Errorf("%s with %.20q behind its last row: %v, or other pixels", file, trailer, err)
			}
		}
	}
}
