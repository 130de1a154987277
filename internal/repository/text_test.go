package repository

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseDictionary(t *testing.T) {
	for what, c := range map[string]struct {
		data    string
		want    []string
		message string
	}{
		"one per line":                          {"a\nb\nc\n", []string{"a", "b", "c"}, ""},
		"a space counts":                        {"a\n \n\u3000\n", []string{"a", " ", "\u3000"}, ""},
		"and an empty line within":              {"a\n\nb", []string{"a", "", "b"}, ""},
		"lines of Windows, with a mark":         {"\ufeffa\r\nb\r\n\r\n", []string{"a", "b"}, ""},
		"characters of several code points":     {"🇩🇪\nfi", []string{"🇩🇪", "fi"}, ""},
		"nothing":                               {"\n\n", nil, "there are no characters"},
		"another encoding":                      {"\xe4\n", nil, "is not UTF-8"},
		"a line that is no character":           {"a\n" + strings.Repeat("b", 65), nil, "line 2 has 65 bytes; the limit of a character is 64"},
		"more characters than any model can be": {strings.Repeat("a\n", MaxLabels+1), nil, "the limit is 100000"},
	} {
		got, err := ParseDictionary([]byte(c.data))
		if !slices.Equal(got, c.want) || (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// FuzzDictionary checks that characters are parsed to themselves, whatever they are.
func FuzzDictionary(f *testing.F) {
	f.Add([]byte("a\r\n \n\u3000\n\n"))
	f.Add([]byte("\ufeff\xff\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseDictionary(data)
		if err != nil {
			return
		}
		again, err := ParseDictionary([]byte(strings.Join(list, "\n") + "\n"))
		if len(list) == 0 || err != nil || !slices.Equal(again, list) {
			t.Errorf("%q, then %q, %v", list, again, err)
		}
		for _, c := range list {
			if strings.Contains(c, "\n") || !utf8.ValidString(c) || len(c) > maxCharacter {
				t.Errorf("character %q", c)
			}
		}
	})
}

func TestIsDictionary(t *testing.T) {
	for name, want := range map[string]bool{"ppocr_keys_v1.txt": true, "en_dict.txt": true, "a/PPOCRv5_Dict.TXT": true, "vocab.txt": true, "labels.txt": false, "README.txt": false, "en_dict.json": false, ".en_dict.txt": false} {
		if IsDictionary(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestDefinitionsOfText(t *testing.T) {
	const detector, reader = "task: text_detection\ninput: {resize: limit, multiple: 32%s}\noutput: {decode: db%s}\n", "task: text_recognition\nlabels: dict.txt\ninput: {resize: fit_height, height: 48%s}\noutput: {decode: ctc%s}\n"
	fill := func(template, input, output string) string {
		return strings.Replace(strings.Replace(template, "%s", input, 1), "%s", output, 1)
	}
	for what, c := range map[string]struct{ yaml, message string }{
		"a detector":                     {fill(detector, "", ""), ""},
		"all keys of a detector":         {fill(detector, ", shortest_edge: 736, longest_edge: 2000, max_aspect: 8, to_multiple: ceil, fill: [114]", ", map_threshold: 0.2, score_threshold: 0.5, unclip_ratio: 2, dilate: true, score_mode: slow, max_candidates: 50, max_boxes: 10, activation: sigmoid"), ""},
		"a reader":                       {fill(reader, ", min_width: 320, width: 3200, stride: 32", ", activation: softmax"), ""},
		"a reader of fixed width":        {fill(reader, ", width: 100", ""), ""},
		"a threshold of 1":               {fill(detector, "", ", map_threshold: 1"), "output.map_threshold: 1 is out of range (>0–<1)"},
		"a ratio that is too large":      {fill(detector, "", ", unclip_ratio: 11"), "output.unclip_ratio: 11 is out of range (0–10)"},
		"another mode":                   {fill(detector, "", ", score_mode: exact"), `output.score_mode: "exact" is not one of fast, slow`},
		"too many lines":                 {fill(detector, "", ", max_boxes: 1001"), "output.max_boxes: 1001 is out of range (1–1000)"},
		"classes of lines":               {fill(detector, "", ", class_first: 1"), "output.class_first: only applies with a task with classes"},
		"suppression of lines":           {fill(detector, "", ", nms: greedy"), "output.nms: only applies with task: detection"},
		"labels of lines":                {"labels: l.txt\n" + fill(detector, "", ""), "labels: only applies with a task with classes"},
		"an aspect below 1":              {fill(detector, ", max_aspect: 0.5", ""), "input.max_aspect: 0.5 is out of range (1–1000)"},
		"a stride of multiples":          {fill(detector, ", stride: 32", ""), "input.stride: only applies with resize"},
		"multiples without a number":     {"task: text_detection\ninput: {resize: limit, to_multiple: floor}\noutput: {decode: db}\n", "input.to_multiple: only applies with multiple"},
		"a longer side without pixels":   {"task: text_detection\ninput: {resize: longest_edge}\noutput: {decode: db}\n", "input.longest_edge: 0 is out of range (1–8192)"},
		"keys of a detector in a reader": {fill(reader, "", ", map_threshold: 0.3, dilate: true"), "output.dilate: only applies with task: text_detection"},
		"a reader without characters":    {strings.Replace(fill(reader, "", ""), "labels: dict.txt\n", "", 1), "labels: is required: the file with the characters"},
		"a reader without a blank":       {fill(reader, "", ", class_first: 0"), "output.class_first: 0 leaves no class"},
		"a width below the least":        {fill(reader, ", width: 100, min_width: 320", ""), "input.min_width: 320 is more than input.width, which is 100"},
		"a least width of another":       {"task: text_detection\ninput: {resize: stretch, min_width: 3}\noutput: {decode: db}\n", "input.min_width: only applies with resize: fit_height"},
		"a decoder of boxes":             {"task: text_detection\noutput: {decode: yolo}\n", `output.decode: "yolo" is not one of db`},
	} {
		_, err := ParseDefinition([]byte(c.yaml), "")
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v; want %q", what, err, c.message)
		}
	}
}

func TestResolveText(t *testing.T) {
	image := func(h, w int64) []TensorInfo {
		return []TensorInfo{{Name: "x", DType: Float32, Shape: []int64{-1, 3, h, w}}}
	}
	reader := Definition{Task: TextRecognition, Labels: []string{"a"}, Input: Input{Resize: FitHeight, MinWidth: 32}, Output: Output{Decode: DecodeCTC}}.WithDefaults()
	sequence := []TensorInfo{{Name: "y", DType: Float32, Shape: []int64{-1, -1, 3}}}
	d, err := reader.Resolve(image(48, -1), sequence)
	if err != nil || d.Input.Height != 48 || d.Output.Name != "y" || d.Batching.MaxSize != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := reader.Resolve(image(-1, -1), sequence); err == nil || !strings.Contains(err.Error(), "input.height: is required") {
		t.Error(err)
	}
	if _, err := reader.Resolve(image(48, 320), sequence); err == nil || !strings.Contains(err.Error(), "input.min_width: needs an open width") {
		t.Error(err)
	}
	detector := Definition{Task: TextDetection, Input: Input{Resize: Limit}, Output: Output{Decode: DecodeDB}}.WithDefaults()
	for _, shape := range [][]int64{{-1, 1, -1, -1}, {-1, -1, -1, -1}, {-1, -1, -1}} {
		if d, err := detector.Resolve(image(-1, -1), []TensorInfo{{Name: "y", DType: Float32, Shape: shape}, {Name: "z", DType: Float32, Shape: []int64{-1, 5}}}); err != nil || d.Output.Name != "y" {
			t.Errorf("%v: %v", shape, err)
		}
	}
}
