package inference

import (
	"image/color"
	"reflect"
	"testing"

	"fovea/internal/apierror"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

func TestRowGivesThePredictionOfItsImage(t *testing.T) {
	r := newRepository(t)
	files := []string{"colors", "colors-nhwc", "colors-half", "colors-int8"}
	for _, file := range files {
		r.define(file, colors).add(file, 1, file)
	}
	e := r.synced(nil)
	for want, c := range map[string]color.Color{"red": red, "green": green, "blue": blue} {
		img := plain(t, c, 30, 20)
		for _, model := range files {
			byImage, err := e.Predict(t.Context(), Request{Model: model, Image: img})
			if err != nil {
				t.Fatal(err)
			}
			row := rowOf(t, e.models[model].served[0].plan, img)
			byRow, err := e.Predict(t.Context(), Request{Model: model, Row: row})
			if err != nil || first(byRow) != want || !reflect.DeepEqual(byRow.Prediction, byImage.Prediction) {
				t.Errorf("%s: %s as a row is %q, %v; as an image %q", model, want, first(byRow), err, first(byImage))
			}
			for what, wrong := range map[string][]byte{"short": row[:len(row)-1], "empty": {}, "long": append(row, 0)} {
				if _, err := e.Predict(t.Context(), Request{Model: model, Row: wrong}); err == nil || apierror.From(err).Code != apierror.Malformed {
					t.Errorf("%s: a row that is %s: %v", model, what, err)
				}
			}
		}
	}
	atRest(t, e)
}

// rowOf is the image as a row of the plan's model.
func rowOf(t *testing.T, plan *preprocess.Plan, img []byte) []byte {
	t.Helper()
	info, err := header.Read(img, header.Limits{MaxPixels: Defaults().MaxPixels})
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := plan.Decode(t.Context(), img, info)
	if err != nil {
		t.Fatal(err)
	}
	defer decoded.Close()
	row := make([]byte, plan.RowBytes())
	if _, err := plan.Pack(decoded, row); err != nil {
		t.Fatal(err)
	}
	return row
}
