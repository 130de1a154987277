package bulk

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
	"fovea/postprocess"
)

// predictions are one of each task.
func predictions() map[string]postprocess.Prediction {
	box := postprocess.Box{Class: 2, Label: "car, red", Score: 0.75, X1: 1.5, Y1: 2, X2: 30, Y2: 40}
	seen := 0.5
	field := func() *postprocess.Map { return &postprocess.Map{Width: 2, Height: 1, Values: []float32{0, 1}} }
	return map[string]postprocess.Prediction{
		"classification": &postprocess.Classified{Top: []postprocess.Class{{Class: 3, Label: "cat", Score: 0.9}, {Class: 4, Score: 0.1}}},
		"detection":      &postprocess.Detected{Boxes: []postprocess.Box{box}, Width: 50, Height: 60},
		"oriented":       &postprocess.Oriented{Boxes: []postprocess.OrientedBox{{Box: box, Angle: 0.5}}},
		"masks":          &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: &postprocess.Mask{Width: 2, Height: 2, Runs: []uint32{1, 3}}}}},
		"pose": &postprocess.Posed{Boxes: []postprocess.PosedBox{{Box: box, Keypoints: []postprocess.Keypoint{{Name: "nose", X: 1, Y: 2, Visibility: &seen}}}},
			Skeleton: [][]int{}},
		"semantic":  &postprocess.ClassMap{Width: 4, Height: 4, MapWidth: 2, MapHeight: 2, Classes: []postprocess.ClassArea{{Class: 1, Label: "road", Area: 3, Share: 0.75}}, PNG: []byte("png")},
		"embedding": &postprocess.Embedded{Vector: []float32{0.5, -0.25, 1, 0, 2, 3}},
		"depth":     &postprocess.DepthMap{Depth: field(), Min: 0.5, Max: 12, Width: 20, Height: 10},
		"anomaly":   &postprocess.AnomalyMap{Score: 0.875, Anomalous: true, Map: field(), Width: 20, Height: 10},
		"image":     &postprocess.Rendered{Image: image.NewNRGBA(image.Rect(0, 0, 6, 5)), Width: 3, Height: 2},
		"nothing":   &postprocess.Detected{Boxes: []postprocess.Box{}, Width: 50, Height: 60},
	}
}

func answerOf(t *testing.T, p any) *Answer {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return &Answer{Model: "m", Version: "2", JSON: text}
}

// output is what a sink writes.
func output(t *testing.T, open func(*bytes.Buffer) Sink, results ...Result) string {
	t.Helper()
	var b bytes.Buffer
	s := open(&b)
	for _, r := range results {
		if err := s.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTableOfEveryTask(t *testing.T) {
	for name, want := range map[string][]string{
		"classification": {"a.jpg  cat                       0.9000", "       class 4                   0.1000"},
		"detection":      {"a.jpg  car, red                  0.7500  x 2–30, y 2–40"},
		"oriented":       {"0.7500  x 2–30, y 2–40; w 0; h 0; angle 0.5"},
		"masks":          {"0.7500  x 2–30, y 2–40; mask"},
		"pose":           {"0.7500  x 2–30, y 2–40; 1 keypoints"},
		"semantic":       {"a.jpg  road                      0.7500  area 3"},
		"embedding":      {"a.jpg                                    vector of 6: 0.5 -0.25 1 0 …"},
		"depth":          {"depth of 2 × 1; min 0.5; max 12\n"},
		"anomaly":        {"a.jpg                            0.8750  anomalous true; map of 2 × 1\n"},
		"image":          {"image of 6 × 5\n"},
		"nothing":        {"a.jpg  nothing found"},
	} {
		got := output(t, func(b *bytes.Buffer) Sink { return NewTable(b, []Input{{Name: "a.jpg"}}) }, Result{Image: "a.jpg", Answer: answerOf(t, predictions()[name])})
		for _, line := range want {
			if !strings.Contains(got, line) {
				t.Errorf("%s: no %q in\n%s", name, line, got)
			}
		}
		if !strings.HasPrefix(got, "IMAGE  LABEL                     SCORE   DETAILS\n") || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTableOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	inputs := []Input{{Name: "a/folder/with/a/long/name/image.jpg"}, {Name: "b.jpg"}}
	result := Result{Image: inputs[0].Name, Answer: answerOf(t, predictions()["detection"])}
	for columns, want := range map[int]string{
		90: "IMAGE                           LABEL                     SCORE                DETAILS\r\n" +
			"…er/with/a/long/name/image.jpg  car, red                  █████████    0.7500  x 2–30, y …\r\n",
		60: "IMAGE                 LABEL                     SCORE   DETAILS\r\n…long/name/image.jpg  car, red                  0.7500  x 2–30, y…\r\n",
	} {
		end, tty := testenv.Terminal(t, columns)
		if err := NewTable(tty, inputs).Write(result); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 4096)
		n, err := end.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buffer[:n]); got != want {
			t.Errorf("%d columns:\n%q\nwant\n%q", columns, got, want)
		}
	}
}

func TestBoxesOfPredictions(t *testing.T) {
	for name, want := range map[string]int{"detection": 1, "oriented": 1, "masks": 1, "pose": 1, "classification": 0, "semantic": 0, "embedding": 0, "nothing": 0} {
		if boxes, err := boxesOf(answerOf(t, predictions()[name]).JSON); err != nil || len(boxes) != want || want > 0 && boxes[0] != (box{"car, red", 1.5, 2, 30, 40}) {
			t.Errorf("%s: %v %v", name, boxes, err)
		}
	}
	if boxes, err := boxesOf(json.RawMessage(`{"x1":1,"y1":1,"x2":2,"y2":2}`)); err != nil || len(boxes) > 0 {
		t.Errorf("no list: %v %v", boxes, err)
	}
}

func TestTableOfTasksThatAreAddedLater(t *testing.T) {
	lines := map[string]any{"lines": []any{map[string]any{"text": "EXIT 12", "score": 0.5, "polygon": []any{[]int{1, 2}, []int{3, 4}}}}, "width": 10}
	got := output(t, func(b *bytes.Buffer) Sink { return NewTable(b, nil) }, Result{Image: "a", Answer: answerOf(t, lines)},
		Result{Image: "b", Answer: answerOf(t, map[string]any{"count": 3, "note": "a\x1b[31mb"})}, Result{Image: "c\n", Err: errors.New("broken")})
	for _, want := range []string{"EXIT 12                   0.5000  2 polygon\n", "count 3; note a�[31mb\n", "c�     error: broken\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestTableOfManyObjectsIsShortened(t *testing.T) {
	p := &postprocess.Classified{}
	for range 60 {
		p.Top = append(p.Top, postprocess.Class{Label: "x", Score: 0.01})
	}
	r := Result{Image: "a", Answer: answerOf(t, p)}
	for n, want := range map[int]string{1: "… and 10 more", 2: "… and 52 more"} {
		if got := output(t, func(b *bytes.Buffer) Sink { return NewTable(b, make([]Input, n)) }, r); !strings.Contains(got, want) {
			t.Errorf("%d images: no %q in\n%s", n, want, got)
		}
	}
}

func TestCSVOfEveryTask(t *testing.T) {
	for name, want := range map[string]string{
		"classification": "image,class,label,score\na.jpg,3,cat,0.9\na.jpg,4,,0.1\n",
		"detection":      "image,class,label,score,x1,y1,x2,y2\na.jpg,2,\"car, red\",0.75,1.5,2,30,40\n",
		"masks":          "image,class,label,score,x1,y1,x2,y2,mask\na.jpg,2,\"car, red\",0.75,1.5,2,30,40,\"{\"\"size\"\":[2,2],\"\"counts\"\":\"\"13\"\"}\"\n",
		"semantic":       "image,class,label,area,share\na.jpg,1,road,3,0.75\n",
		"embedding":      "image,vector\na.jpg,\"[0.5,-0.25,1,0,2,3]\"\n",
		"depth":          "image,depth.width,depth.height,depth.scale,depth.offset,min,max,width,height\na.jpg,2,1,0.000015259021896696422,0,0.5,12,20,10\n",
		"image":          "image,image.width,image.height,width,height\na.jpg,6,5,3,2\n",
		"nothing":        "",
	} {
		got := output(t, func(b *bytes.Buffer) Sink { return NewCSV(b, b) }, Result{Image: "a.jpg", Answer: answerOf(t, predictions()[name])}, Result{Image: "b.jpg", Err: errors.New("bad")})
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	for name, p := range predictions() {
		got := output(t, func(b *bytes.Buffer) Sink { return NewCSV(b, b) }, Result{Image: "a.jpg", Answer: answerOf(t, p)})
		if rows, err := csv.NewReader(strings.NewReader(got)).ReadAll(); err != nil || len(rows) > 0 && len(rows[0]) < 2 {
			t.Errorf("%s: %v %q", name, err, got)
		}
	}
}

func TestCSVNamesFieldsThatItLeavesOut(t *testing.T) {
	var b, notes bytes.Buffer
	s := NewCSV(&b, &notes)
	for _, text := range []string{`{"a":[{"x":1}]}`, `{"a":[{"y":null,"x":null}]}`} {
		if err := s.Write(Result{Image: "i", Answer: &Answer{JSON: json.RawMessage(text)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || b.String() != "image,x\ni,1\ni,\n" || notes.String() != "csv: the field y is left out: the first line has none\n" {
		t.Errorf("%v %q %q", err, b.String(), notes.String())
	}
}

func TestJSONOutputs(t *testing.T) {
	results := []Result{
		{Image: "a&b.jpg", Answer: answerOf(t, predictions()["classification"])},
		{Image: "c.jpg", Err: &imageError{apierror.New(apierror.Undecodable, "truncated")}},
		{Image: "d.jpg", Err: errors.New("permission denied")},
	}
	const one = `{"image":"a&b.jpg","model":"m","version":"2","prediction":{"top":[{"class":3,"label":"cat","score":0.9},{"class":4,"label":"","score":0.1}]}}`
	const two = `{"image":"c.jpg","error":"truncated","code":"undecodable"}`
	const three = `{"image":"d.jpg","error":"permission denied"}`
	if got := output(t, func(b *bytes.Buffer) Sink { return NewJSONLines(b) }, results...); got != one+"\n"+two+"\n"+three+"\n" {
		t.Errorf("lines: %s", got)
	}
	open := func(b *bytes.Buffer) Sink { return NewJSON(b) }
	if got := output(t, open, results...); got != "[\n"+one+",\n"+two+",\n"+three+"\n]\n" {
		t.Errorf("array: %s", got)
	}
	if got := output(t, open); got != "[]\n" {
		t.Errorf("no results: %q", got)
	}
}

func FuzzPredictionOfAnyServer(f *testing.F) {
	for _, p := range predictions() {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"a":[{"b":[[]]},{"b":{"width":1e999}}],"a":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		r := Result{Image: "i", Answer: &Answer{JSON: text}}
		var b bytes.Buffer
		if err := NewTable(&b, nil).Write(r); err != nil {
			t.Error(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\r\x07") {
			t.Errorf("a control character: %q", b.String())
		}
		_ = NewCSV(&b, &b).Write(r) // only whether it ends
		if boxes, err := boxesOf(text); err == nil {
			for _, b := range boxes {
				if name := folderName(b.label); strings.ContainsRune(name, '/') || name == ".." {
					t.Errorf("%q", name)
				}
			}
		}
	})
}
