package exporter

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fovea/internal/repository"
)

// inferredValues infers a definition and returns its values by key.
func inferredValues(t *testing.T, l layout) (map[string]string, error) {
	t.Helper()
	inferred, _, err := l.infer(t)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, o := range inferred.Origins {
		values[o.Key] = o.Value
	}
	return values, nil
}

// TestSettingsReplaceWhatDependsOnThem sets a key whose companions were inferred for another value.
func TestSettingsReplaceWhatDependsOnThem(t *testing.T) {
	yolo := modelOf(image, out("output0", float, 1, 7, 1680), meta(ultralyticsOf("detect")...))
	open := modelOf(in("images", float, "batch", 3, "height", "width"), out("output0", float, "batch", 7, "anchors"), meta(ultralyticsOf("detect")...))
	resnet := modelOf(in("x", float, "n", 3, 224, 224), out("y", float, "n", 3))
	gray := modelOf(in("x", float, "n", "c", 32, 32), out("logits", float, "n", 3))
	vit := map[string]string{"config.json": `{"model_type": "vit"}`, "preprocessor_config.json": `{"size": 32, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`}
	for name, test := range map[string]struct {
		model *layout
		set   string   // separated by ;
		want  []string // key: value; an empty value: there is no such key
		asks  []string // keys
	}{
		"a letterbox becomes a stretch": {&layout{model: yolo}, "resize=stretch", []string{"input.resize: stretch", "input.place:", "input.fill:", "input.scale: 0.00392156862745098"}, nil},
		"a minimal rectangle becomes a stretch": {&layout{model: open}, "resize=stretch",
			[]string{"input.resize: stretch", "input.stride:", "input.place:", "input.width: 256", "input.height: 320"}, nil},
		"a letterbox becomes a crop": {&layout{model: yolo}, "resize=shortest_edge;shortest_edge=400",
			[]string{"input.resize: shortest_edge", "input.shortest_edge: 400", "input.place:", "input.fill:"}, nil},
		"a crop of unknown size":     {&layout{model: yolo}, "resize=shortest_edge", nil, []string{"input.shortest_edge 365 320"}},
		"a crop becomes a letterbox": {&layout{model: resnet}, "resize=letterbox", []string{"input.resize: letterbox", "input.shortest_edge:"}, nil},
		"set keys stay":              {&layout{model: yolo}, "resize=letterbox;place=top_left;fill=0", []string{"input.place: top_left", "input.fill: [0]"}, nil},
		"another decoder":            {&layout{model: yolo}, "decode=rows;columns=x1,y1,x2,y2,score,class,skip", []string{"output.decode: rows", "output.iou_threshold:"}, nil},
		"a decoder of raw grids":     {&layout{model: yolo}, "decode=yolov5_raw", []string{"output.decode: yolov5_raw", "output.name:"}, nil},
		"a decoder with outputs that no key names": {&layout{model: yolo}, "decode=boxes", nil,
			[]string{"output.boxes output0", "output.scores output0", "output.box_space input unit original"}},
		"no suppression":                         {&layout{model: yolo}, "nms=none", []string{"output.nms: none", "output.iou_threshold:"}, nil},
		"another task":                           {&layout{model: yolo}, "task=classification", nil, []string{"output.decode softmax probabilities sigmoid"}},
		"another task, decoded":                  {&layout{model: yolo}, "task=classification;decode=softmax", []string{"output.decode: softmax", "output.score_threshold:", "output.max_boxes:", "output.iou_threshold:"}, nil},
		"one channel, of three that were equal":  {&layout{model: gray, files: vit}, "color=gray", []string{"input.color: gray", "input.mean: [0.5]", "input.std: [0.5]"}, nil},
		"a named normalization of blue first":    {&layout{model: resnet}, "normalization=imagenet;color=bgr", []string{"input.mean: [0.406, 0.456, 0.485]", "input.std: [0.225, 0.224, 0.229]"}, nil},
		"a named normalization of red first":     {&layout{model: resnet}, "normalization=imagenet", []string{"input.mean: [0.485, 0.456, 0.406]"}, nil},
		"numbers of each channel":                {&layout{model: resnet}, "normalization=[[0.1, 0.2, 0.3], [1, 1, 1]];color=bgr", []string{"input.mean: [0.1, 0.2, 0.3]"}, nil},
		"Caffe's normalization, red first":       {&layout{model: resnet}, "normalization=caffe;color=rgb", []string{"input.mean: [123.68, 116.779, 103.939]", "input.color: rgb"}, nil},
		"Caffe's normalization is of blue first": {&layout{model: resnet}, "normalization=caffe", []string{"input.mean: [103.939, 116.779, 123.68]", "input.color: bgr"}, nil},
		"a number without a leading zero":        {&layout{model: yolo}, "score_threshold=.45", []string{"output.score_threshold: 0.45"}, nil},
		"a large number":                         {&layout{model: yolo}, "max_boxes=1e3", []string{"output.max_boxes: 1000"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := *test.model
			l.set = settingsOf(test.set)
			values, err := inferredValues(t, l)
			if test.asks != nil {
				var asked []string
				if unknown, ok := err.(*repository.UnknownError); ok { //nolint:errorlint // Infer returns it as it is
					for _, q := range unknown.Questions {
						asked = append(asked, strings.Join(append([]string{q.Key}, q.Candidates...), " "))
					}
				}
				if !slices.Equal(asked, test.asks) {
					t.Errorf("asks %q; want %q; %v", asked, test.asks, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range test.want {
				key, value, _ := strings.Cut(line, ":")
				if got := values[key]; got != strings.TrimSpace(value) {
					t.Errorf("%s is %q; want %q", key, got, value)
				}
			}
		})
	}
}

func TestCheckSettings(t *testing.T) {
	for _, test := range []struct{ set, says string }{
		{"labels=cat,dog;size=320;normalization=imagenet;decode=yolo;score_threshold=.5;max_boxes=10;iou_threshold=0.7", ""},
		{"resize=letterbox;fill=114;input.stride=32;place=center", ""},
		{"mean=.1,.2,.3,.4;std=1,1,1,1", ""}, // the file may have four channels
		{"decode=boxes;output.boxes=b;interpolation=bilinear", ""},
		{"labels=somewhere.txt", ""}, // the files are not known
		{"shortest_edge=256", ""},    // the resize is not known
		{"labels=[1", "--set labels=[1: is not a JSON list of strings"},
		{"nosuch=1", "--set nosuch=1: is no key of model.yaml, such as input.scale or scale for short, and none of exporter, "},
		{"decode=fast", "--set decode=fast: is a value of input.decode, how images are decoded: --set input.decode=fast"},
		{"decode=nms", "--set decode=nms: is not one of softmax, "},
		{"task=detection;decode=softmax", `--set output.decode: "softmax" is not one of yolo`},
		{"resize=squash", `--set input.resize: "squash" is not one of stretch, `},
		{"score_threshold=1.5", "--set output.score_threshold: 1.5 is out of range (0–1)"},
		{"score_threshold=high", "--set output.score_threshold: "},
		{"max_boxes=20000", "--set output.max_boxes: 20000 is out of range"},
		{"task=detection;max_boxes=0", "--set output.max_boxes: 0 is out of range"},
		{"color=green", `--set input.color: "green" is not one of`},
		{"interpolation=sharp", `--set input.interpolation: "sharp" is not one of`},
		{"mean=.1,.2;color=rgb", "--set input.mean: has 2 values"},
		{"mean=a,b,c", "--set input.mean"},
		{"mean=[1,2", "--set mean=[1,2: is not a value of YAML"},
		{"name=x", "--set name=x: is no key of model.yaml"}, // of the input or the output
		{"dtype=uint8;stride=32;boxes=b;max_size=4;class_agnostic=true", ""},
		{"dtype=int4", `--set input.dtype: "int4" is not one of`},
		{"size=big", "--set size=big: is not a size"},
		{"width=100000", "--set input.width: 100000 is out of range"},
		{"resize=letterbox;fill=999", "--set input.fill[0]: 999"},
		{"color=", "--set color=: has no value"},
		{"color=rgb;input.color=bgr", "--set input.color=bgr: input.color is set to rgb by another --set"},
		{"mean=1;normalization=imagenet", "--set normalization=imagenet: input.mean is set to [1] by another --set"},
		{"size=224;width=320", "--set width=320: input.width is set to 224 by another --set"},
		{"size=224;width=224;normalization=unit;scale=0.00392156862745098", ""},
	} {
		set := settingsOf(test.set)
		err := CheckSettings(set)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v: %v; want %q", slices.Sorted(maps.Keys(set)), err, test.says)
		}
	}
}

// TestMistakesInFilesAreToldOnceInWords reads files that are broken, or that do not fit the model.
func TestMistakesInFilesAreToldOnceInWords(t *testing.T) {
	classes := modelOf(in("x", float, "n", 3, 224, 224), out("y", float, "n", 3))
	for name, test := range map[string]struct {
		files map[string]string
		set   map[string]string
		says  string
	}{
		"a broken config.json":     {map[string]string{"config.json": "{\n\"a\": 1,\nbroken"}, nil, "config.json: is not valid JSON: line 3: invalid character 'b' looking for beginning of object key string"},
		"an empty config.json":     {map[string]string{"config.json": ""}, nil, "config.json: is not valid JSON: line 1: unexpected end of JSON input"},
		"a list for an object":     {map[string]string{"config.json": `{"model_type": "vit"}`, "preprocessor_config.json": "[]"}, nil, "preprocessor_config.json: is not a JSON object"},
		"labels of another model":  {map[string]string{"coco.names": "a\nb\nc\nd\ne\n"}, nil, `the output "y" has 3 classes, but there are 5 labels (coco.names); say --set labels=… with all 3, in the order of the classes`},
		"a label too few":          {nil, map[string]string{"labels": "a"}, `the output "y" has 3 classes, but there is 1 label (set); say --set labels=… with all 3, in the order of the classes`},
		"a file that is not there": {nil, map[string]string{"labels": "nofile.txt"}, "--set labels=nofile.txt: there is no such file next to the model"},
	} {
		l := layout{model: classes, files: test.files, set: test.set}
		if _, _, err := l.infer(t); err == nil || err.Error() != test.says {
			t.Errorf("%s: %v\nwant %s", name, err, test.says)
		}
	}
}

func TestLabelsFile(t *testing.T) {
	for labels, want := range map[string]string{"coco.names": "coco.names", " a/b ": "a/b", "labels.TXT": "labels.TXT", "cat,dog.txt": "", `["a.txt"]`: "", "person": "", "map.pbtxt": "map.pbtxt"} {
		if got := LabelsFile(labels); got != want {
			t.Errorf("%q: %q, want %q", labels, got, want)
		}
	}
}

func TestHeaderOfADefinition(t *testing.T) {
	l := layout{model: modelOf(image, out("output0", float, 1, 7, 1680), meta(ultralyticsOf("detect")...))}
	for name, test := range map[string]struct {
		set  map[string]string
		says bool
	}{"nothing is assumed": {nil, false}, "labels are missing": {map[string]string{"exporter": "yolo"}, true}} {
		l.set = test.set
		inferred, _, err := l.infer(t)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(Write(inferred)); strings.Contains(text, "assumed") != test.says {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// FuzzSettings has no setting make an invalid model.yaml valid, or end the program.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{".45", "[1,2", "a: b", "#", "- x", "letterbox", "1e400", "+", "{a: 1}", "\"", "'"} {
		for _, key := range []string{"score_threshold", "resize", "labels", "output.boxes", "size", "normalization", "task", "decode"} {
			f.Add(key, text)
		}
	}
	g := graphOf(f, modelOf(image, out("output0", float, 1, 7, 1680), meta(ultralyticsOf("detect")...)))
	f.Fuzz(func(t *testing.T, key, text string) {
		set := map[string]string{key: text}
		checked := CheckSettings(set)
		inferred, err := Infer(g, fstest.MapFS{}, set)
		if err == nil && checked != nil {
			t.Errorf("%q=%q: %v, but it is accepted", key, text, checked)
		}
		if err != nil {
			return
		}
		d, err := repository.ParseDefinition(Write(inferred), "model.yaml")
		if err != nil {
			t.Fatalf("%q=%q: %v", key, text, err)
		}
		d.Labels = inferred.Definition.Labels
		if err := d.Validate(); err != nil {
			t.Errorf("%q=%q: %v", key, text, err)
		}
	})
}

// TestShorthandsOfKeys has the names that are documented mean the same whatever keys are added.
func TestShorthandsOfKeys(t *testing.T) {
	for _, name := range []string{"width", "height", "resize", "interpolation", "color", "scale", "mean", "std", "layout", "fill", "place", "shortest_edge", "stride", "dtype"} {
		if got := fullKey(name); got != "input."+name {
			t.Errorf("%s is %s", name, got)
		}
	}
	for _, name := range []string{"decode", "multi_label", "score_threshold", "iou_threshold", "max_boxes", "top_k", "class_first", "anchors", "strides", "box_format",
		"box_space", "nms", "activation", "columns", "boxes", "scores", "classes"} {
		if got := fullKey(name); got != "output."+name {
			t.Errorf("%s is %s", name, got)
		}
	}
	for name, want := range map[string]string{"name": "name", "output": "output.name", "threshold": "output.score_threshold", "task": "task", "input.decode": "input.decode", "multilabel": "output.multi_label"} {
		if got := fullKey(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
