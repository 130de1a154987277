package repository

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
	"fovea/models"
)

func parseFile(data []byte, file string) (Definition, error) {
	d, report := parse(data, file)
	return d, report.Err()
}

const good = `
task: classification
input: {width: 224, height: 224}
output: {decode: softmax}
`

func TestParseFillsDefaults(t *testing.T) {
	d, err := parseFile([]byte(good), "model.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in := d.Input
	if in.Resize != Stretch || in.Interpolation != AreaLinear || in.Decode != DecodeExact || in.Color != "" || in.Scale != 1 ||
		len(in.Mean) != 1 || in.Mean[0] != 0 || len(in.Std) != 1 || in.Std[0] != 1 {
		t.Errorf("input defaults: %+v", in)
	}
	if d.Output.TopK != 5 || d.Warmup != 1 || d.Batching.Queue != 256 || d.Source.Version != 1 {
		t.Errorf("defaults: %+v", d)
	}
	if in.DType != "" || in.Layout != "" || d.Batching.MaxSize != 0 {
		t.Errorf("what the ONNX file or the device says must stay open: %+v", d)
	}
}

func TestParseReadsEveryKind(t *testing.T) {
	d, err := parseFile([]byte(`
description: |
  two
  lines
task: detection
input: {resize: letterbox, place: top_left, fill: 114, scale: 1e-2, std: 2, extra: [{name: s, value: input_size_hw}]}
output: {decode: yolox, strides: [8, 16], iou_threshold: 0}
batching: {max_size: 4, max_delay: 2ms, queue: 8}
instances: [{device: "cuda:1", count: 2}, {device: cpu}]
warmup: 0
memory: {ttl: 10m}
versions: [2, 5]
`), "model.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d.Input.Fill[0] != 114 || d.Input.Scale != 0.01 || d.Input.Std[0] != 2 || d.Input.Extra[0].Value != InputSizeHW {
		t.Errorf("input: %+v", d.Input)
	}
	if d.Batching.MaxDelay != 2*time.Millisecond || d.Instances[0] != (Group{"cuda:1", 2}) {
		t.Errorf("batching %+v, instances %+v", d.Batching, d.Instances)
	}
	if d.Warmup != 0 || d.Output.IoU != 0 {
		t.Errorf("zeros written on purpose must stay: warmup %d, iou_threshold %v", d.Warmup, d.Output.IoU)
	}
	if d.Memory != (Memory{TTL: 10 * time.Minute}) {
		t.Errorf("memory: %+v", d.Memory)
	}
	if len(d.Versions.Numbers) != 2 || d.Versions.Numbers[1] != 5 {
		t.Errorf("versions: %+v", d.Versions)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]Versions{
		"latest": {}, "all": {All: true}, "3": {Numbers: []int{3}}, "[1, 2]": {Numbers: []int{1, 2}},
	} {
		d, err := parseFile([]byte(good+"versions: "+text), "model.yaml")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d.Versions.All != want.All || len(d.Versions.Numbers) != len(want.Numbers) {
			t.Errorf("%s: %+v, want %+v", text, d.Versions, want)
		}
	}
}

// Each error must be reported with its line and key. The files are good but for the lines given.
func TestParseNamesKeyAndLine(t *testing.T) {
	classify := "task: classification\noutput: {decode: softmax}\n"
	detect := "task: detection\noutput: {decode: yolox}\n"
	for name, c := range map[string]struct{ file, want string }{
		"an unknown key":                    {classify + "color: rgb\n", "m.yaml:3: color: unknown key; allowed here: batching,"},
		"an unknown key inside":             {classify + "input:\n  widht: 2\n", "m.yaml:4: input.widht: unknown key"},
		"an unknown key in a list":          {classify + "instances:\n  - {devise: cpu}\n", "m.yaml:4: instances[0].devise: unknown key"},
		"text for a number":                 {classify + "input: {width: wide}\n", `m.yaml:3: input.width: "wide" is not a whole number`},
		"a quoted number":                   {classify + "input: {width: '224'}\n", `input.width: "224" is text; remove the quotes`},
		"an invalid number":                 {classify + "input: {width: 2.5}\n", `input.width: "2.5" is not a whole number`},
		"a number beyond int64":             {classify + "input: {width: 99999999999999999999}\n", `input.width: "99999999999999999999" is not a whole number`},
		"a number for text":                 {classify + "labels: 12\n", "labels: 12 is not text; put it in quotes"},
		"a list for text":                   {classify + "labels: [a]\n", "labels: want one value, not a list"},
		"a mapping for a number":            {classify + "warmup: {a: 1}\n", "warmup: want one value, not keys and values"},
		"a scalar for a mapping":            {classify + "input: 3\n", "input: want keys and values"},
		"a key without value":               {classify + "input:\n", "m.yaml:3: input: has no value"},
		"a time without unit":               {classify + "batching: {max_delay: 5}\n", "batching.max_delay: \"5\" is not a duration"},
		"a key twice":                       {classify + "warmup: 1\nwarmup: 2\n", "m.yaml:4: invalid YAML"},
		"an anchor":                         {classify + "input: &a {width: 2}\n", "input: YAML anchors, aliases and tags"},
		"an alias":                          {classify + "x: &a 1\nwarmup: *a\n", "warmup: YAML anchors, aliases and tags"},
		"two documents":                     {classify + "---\ntask: detection\n", "2 YAML documents"},
		"no document":                       {"", "m.yaml: is empty"},
		"a file that is text":               {"hello", "want keys and values"},
		"an invalid file":                   {"task: [", "m.yaml:1: invalid YAML"},
		"brackets without end":              {strings.Repeat("[", 100), "more than 32 levels"},
		"a file too large":                  {strings.Repeat("#", config.MaxFile+1), "the limit is 65536"},
		"a control character":               {classify + `labels: "a\nb"`, "labels: contains the control character U+000A"},
		"no task":                           {"output: {decode: softmax}", "task: is required: one of classification, detection"},
		"a task that is not known":          {"task: sound", `task: "sound" is not one of`},
		"no decode":                         {"task: detection", "output.decode: is required: one of yolo, yolov5, yolov5_raw, yolox, rows, detr, boxes"},
		"a decode of another task":          {"task: detection\noutput: {decode: softmax}", `m.yaml:2: output.decode: "softmax" is not one of`},
		"a name with a path":                {classify + "name: ../x\n", `name: "../x" is not a valid model name`},
		"a width too large":                 {classify + "input: {width: 8193}\n", "input.width: 8193 is out of range (0–8192)"},
		"a negative width":                  {classify + "input: {width: -1}\n", "input.width: -1 is out of range"},
		"an edge with another resize":       {classify + "input: {shortest_edge: 256}\n", "input.shortest_edge: only applies with"},
		"no edge":                           {classify + "input: {resize: shortest_edge}\n", "input.shortest_edge: 0 is out of range"},
		"a fill that no crop needs":         {classify + "input: {resize: shortest_edge, shortest_edge: 9, width: 9, height: 9, fill: 3}\n", "input.fill: only applies with"},
		"a fill of a resize to the input":   {classify + "input: {resize_width: 9, resize_height: 9, width: 9, height: 9, fill: 3}\n", "input.fill: only applies with"},
		"half a size to resize to":          {classify + "input: {resize_width: 9}\n", "input.resize_height: 0 is out of range (1–8192)"},
		"a size to resize to, and an edge":  {classify + "input: {resize: shortest_edge, shortest_edge: 9, resize_width: 9, resize_height: 9}\n", "input.resize_width: only applies with resize: stretch, cover, crop, closest, or letterbox without a stride"},
		"a size to resize to, and a stride": {classify + "input: {resize: letterbox, stride: 32, resize_width: 9, resize_height: 9}\n", "input.resize_width: only applies with"},
		"a multiple without fit":            {classify + "input: {multiple: 16}\n", "input.multiple: only applies with resize: fit"},
		"a negative multiple":               {classify + "input: {resize: fit, shortest_edge: 9, multiple: -1}\n", "input.multiple: -1 is out of range"},
		"a crop of more than all":           {classify + "input: {resize: crop, width: 9, height: 9, resize_width: 8, resize_height: 9}\n", "input.resize_width: 8 is out of range (9–8192)"},
		"an offset without a crop":          {classify + "input: {crop_offset: floor}\n", "input.crop_offset: only applies with resize: shortest_edge, cover or crop, or resize_width"},
		"an offset that is not known":       {classify + "input: {resize: cover, crop_offset: ceil}\n", `input.crop_offset: "ceil" is not one of round, floor, truncate`},
		"an inverse without a letterbox":    {classify + "input: {resize: cover, inverse: gain}\n", "input.inverse: only applies with resize: letterbox or fit"},
		"an inverse that is not known":      {classify + "input: {resize: letterbox, inverse: ratio}\n", `input.inverse: "ratio" is not one of exact, gain, gain_rounded, gain_unrounded`},
		"a fill without letterbox":          {classify + "input: {fill: 3}\n", "input.fill: only applies with"},
		"a place without letterbox":         {classify + "input: {place: center}\n", "input.place: only applies with"},
		"two fills":                         {classify + "input: {resize: letterbox, fill: [1, 2]}\n", "input.fill: has 2 values, not 1 or 3"},
		"a fill above 255":                  {classify + "input: {resize: letterbox, fill: 256}\n", "input.fill[0]: 256 is out of range (0–255)"},
		"a resize that is not known":        {classify + "input: {resize: squash}\n", `input.resize: "squash" is not one of stretch, shortest_edge, cover, crop, letterbox`},
		"a place that is not known":         {classify + "input: {resize: letterbox, place: top}\n", `input.place: "top" is not one of`},
		"an interpolation that is none":     {classify + "input: {interpolation: best}\n", "input.interpolation: "},
		"a color that is none":              {classify + "input: {color: cmyk}\n", "input.color: "},
		"a layout that is none":             {classify + "input: {layout: chwn}\n", "input.layout: "},
		"a dtype that no image has":         {classify + "input: {dtype: int64}\n", "input.dtype: "},
		"a scale of zero":                   {classify + "input: {scale: 0}\n", "input.scale: 0 is out of range"},
		"a scale that is no number":         {classify + "input: {scale: .nan}\n", "input.scale: NaN is out of range"},
		"a mean without end":                {classify + "input: {mean: [0, .inf, 0]}\n", "input.mean[1]: +Inf is out of range"},
		"an empty mean":                     {classify + "input: {mean: []}\n", "input.mean: has 0 values"},
		"a std of zero":                     {classify + "input: {std: [1, 0, 1]}\n", "input.std[1]: 0 is out of range"},
		"a std that is no number":           {classify + "input: {std: .nan}\n", "input.std[0]: NaN is out of range"},
		"uint8 with a scale":                {classify + "input: {dtype: uint8, scale: 2}\n", "input.dtype: uint8 takes pixel values unchanged"},
		"an extra without name":             {classify + "input: {extra: [{value: input_size_wh}]}\n", "input.extra[0].name: is required"},
		"an extra without value":            {classify + "input: {extra: [{name: a}]}\n", "input.extra[0].value: is required"},
		"an extra twice":                    {classify + "input: {extra: [{name: a, value: input_size_wh}, {name: a, value: input_size_wh}]}\n", `input.extra[1].name: "a" already names`},
		"too many extras":                   {classify + "input: {extra: [" + strings.Repeat("{name: a, value: input_size_wh},", 9) + "]}\n", "input.extra: there are 9"},
		"top_k of zero":                     {"task: classification\noutput: {decode: softmax, top_k: 0}", "output.top_k: 0 is out of range (1–1000)"},
		"top_k of a detector":               {"task: detection\noutput: {decode: yolox, top_k: 5}", "output.top_k: only applies with"},
		"a threshold of a classifier":       {"task: classification\noutput: {decode: softmax, score_threshold: 0.5}", "output.score_threshold: only applies with task: detection"},
		"a threshold above one":             {"task: detection\noutput: {decode: yolox, score_threshold: 1.5}", "output.score_threshold: 1.5 is out of range"},
		"a threshold that is no number":     {"task: detection\noutput: {decode: yolox, iou_threshold: .nan}", "output.iou_threshold: NaN is out of range"},
		"no boxes allowed":                  {"task: detection\noutput: {decode: yolox, max_boxes: 0}", "output.max_boxes: 0 is out of range"},
		"strides of a classifier":           {"task: classification\noutput: {decode: softmax, strides: [8]}", "output.strides: only applies with"},
		"a stride of zero":                  {"task: detection\noutput: {decode: yolox, strides: [0]}", "output.strides[0]: 0 is out of range"},
		"too many strides":                  {"task: detection\noutput: {decode: yolox, strides: [1,1,1,1,1,1,1,1,1]}", "output.strides: has 9 values"},
		"a stride that does not divide":     {detect + "input: {width: 100, height: 96}\n", "output.strides[0]: 8 does not divide the input's 100×96"},
		"boxes without names":               {"task: detection\noutput: {decode: boxes, box_space: unit}", "output.scores: is required"},
		"boxes without a space":             {"task: detection\noutput: {decode: boxes, boxes: a, scores: b}", "output.box_space: is required: one of original, input, unit"},
		"one output for two things":         {"task: detection\noutput: {decode: boxes, boxes: a, scores: a, box_space: unit}", "must name different outputs"},
		"a name with boxes":                 {"task: detection\noutput: {decode: boxes, name: c, boxes: a, scores: b, box_space: unit}", "output.name: does not apply with decode: boxes"},
		"boxes of a classifier":             {"task: classification\noutput: {decode: softmax, boxes: a}", "output.boxes: only applies with decode: boxes or detr"},
		"a first class too high":            {"task: classification\noutput: {decode: softmax, class_first: 100001}", "output.class_first: "},
		"a batch too large":                 {classify + "batching: {max_size: 1025}\n", "batching.max_size: 1025 is out of range"},
		"a wait too long":                   {classify + "batching: {max_delay: 11s}\n", "batching.max_delay: 11s is out of range"},
		"a negative wait":                   {classify + "batching: {max_delay: -1ms}\n", "batching.max_delay: -1ms is out of range"},
		"no queue":                          {classify + "batching: {queue: 0}\n", "batching.queue: 0 is out of range (1–65536)"},
		"a queue below a batch":             {classify + "batching: {max_size: 8, queue: 4}\n", "batching.queue: 4 is less than batching.max_size"},
		"a device that is none":             {classify + "instances: [{device: gpu}]\n", `instances[0].device: "gpu" is not one of`},
		"a number of TensorRT that is none": {classify + "instances: [{device: 'tensorrt:x'}]\n", `instances[0].device: "tensorrt:x" is not one of auto, cpu, cuda, cuda:0 to cuda:99, tensorrt, tensorrt:0`},
		"an empty device":                   {classify + "instances: [{device: ''}]\n", `instances[0].device: "" is not one of`},
		"a device twice":                    {classify + "instances: [{device: cpu}, {device: cpu}]\n", "instances[1].device: "},
		"too many instances":                {classify + "instances: [{count: 65}]\n", "instances[0].count: 65 is out of range"},
		"too many groups":                   {classify + "instances: [" + strings.Repeat("{count: 1},", 65) + "]\n", "instances: there are 65 groups"},
		"too much warm-up":                  {classify + "warmup: 101\n", "warmup: 101 is out of range"},
		"a self-test without image":         {classify + "self_test: {label: cat}\n", "self_test.image: is required"},
		"a self-test score without label":   {classify + "self_test: {image: a.jpg, min_score: 0.5}\n", "self_test.label: is required"},
		"a self-test score above one":       {classify + "self_test: {image: a.jpg, label: b, min_score: 2}\n", "self_test.min_score: 2 is out of range"},
		"a version of zero":                 {classify + "versions: [0]\n", "versions[0]: 0 is out of range"},
		"a version twice":                   {classify + "versions: [1, 1]\n", "versions[1]: 1 is listed twice"},
		"no version":                        {classify + "versions: []\n", `versions: "" is not latest, all, or a list`},
		"a version policy that is none":     {classify + "versions: newest\n", `versions: "newest" is not latest, all, or a list of version numbers`},
		"labels outside the folder":         {classify + "labels: ../l.txt\n", `labels: "../l.txt" is not a file in the model's folder`},
		"labels from the root":              {classify + "labels: /etc/passwd\n", "labels: "},
		"labels in a roundabout way":        {classify + "labels: a/../../b\n", "labels: "},
		"labels by backslash":               {classify + `labels: '..\l.txt'` + "\n", "labels: "},
		"a self-test outside the folder":    {classify + "self_test: {image: ../a.jpg}\n", "self_test.image: "},
		"a source without hash":             {classify + "source: {url: 'https://a/b'}\n", "source.sha256: is required"},
		"a source that is not supported":    {classify + "source: {url: 'gs://a/b', sha256: " + strings.Repeat("a", 64) + "}\n", "source.url: source \"gs://a/b\": gs:// is not supported; allowed: https://"},
		"a source that is a local path":     {classify + "source: {url: model.onnx, sha256: " + strings.Repeat("a", 64) + "}\n", "source.url: \"model.onnx\" is a local path; allowed: https, hf, s3 and oci addresses"},
		"a file without a hash":             {classify + "source: {files: [{path: w.bin}]}\n", "source.files[0].sha256: is required"},
		"a file in another folder":          {classify + "source: {files: [{path: ../w.bin, sha256: " + strings.Repeat("a", 64) + "}]}\n", "source.files[0].path: \"../w.bin\" is not a file in the version's folder"},
		"a file that is the model":          {classify + "source: {files: [{path: model.onnx, sha256: " + strings.Repeat("a", 64) + "}]}\n", "source.files[0].path: \"model.onnx\" is listed twice"},
		"a file from a local path":          {classify + "source: {files: [{path: w.bin, url: /w.bin, sha256: " + strings.Repeat("a", 64) + "}]}\n", "source.files[0].url: \"/w.bin\" is a local path"},
		"a source over http":                {classify + "source: {url: 'http://a/b', sha256: " + strings.Repeat("a", 64) + "}\n", "source.url: "},
		"a source with a user name":         {classify + "source: {url: 'https://u:p@a/b', sha256: " + strings.Repeat("a", 64) + "}\n", "source.url: "},
		"a source from a file":              {classify + "source: {url: 'file:///etc/passwd', sha256: " + strings.Repeat("a", 64) + "}\n", "source.url: "},
		"a hash in capitals":                {classify + "source: {sha256: " + strings.Repeat("A", 64) + "}\n", "source.sha256: "},
		"a short hash":                      {classify + "source: {sha256: abc}\n", "source.sha256: "},
		"a negative size":                   {classify + "source: {size: -1}\n", "source.size: -1 is out of range"},
		"weights as a version that is none": {classify + "source: {version: 0}\n", "source.version: 0 is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseFile([]byte(c.file), "m.yaml")
			if err == nil {
				t.Fatalf("no error; want %q", c.want)
			}
			if text := withoutColumns(err); !strings.Contains(text, c.want) || !strings.Contains(text, "m.yaml:") {
				t.Errorf("error is\n%v\nwant %q", err, c.want)
			}
		})
	}
}

var columns = regexp.MustCompile(`(m\.yaml:\d+):\d+: `)

func withoutColumns(err error) string { return columns.ReplaceAllString(err.Error(), "$1: ") }

func TestParseReportsAllErrorsTogether(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"of form": {"task: 3\ncolor: red\ninput:\n  width: x\n", []string{
			"m.yaml:1: task:", "m.yaml:2: color:", "m.yaml:4: input.width:"}},
		"of values": {"task: detection\ninput:\n  width: -1\n  std: 0\nwarmup: -1\n", []string{
			"m.yaml:3: input.width:", "m.yaml:4: input.std[0]:", "m.yaml:5: warmup:", "m.yaml: output.decode:"}},
		"of form and of values": {"task: detection\ninput:\n  width: x\n  height: 99999\n  std: [1, y]\ncolor: red\nwarmup: 999\n", []string{
			`m.yaml:3: input.width: "x" is not a whole number`, "m.yaml:4: input.height: 99999 is out of range", `m.yaml:5: input.std[1]: "y" is not a number`,
			"m.yaml:6: color: unknown key", "m.yaml:7: warmup: 999 is out of range", "m.yaml: output.decode: is required"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseFile([]byte(c.file), "m.yaml")
			for _, want := range c.want {
				if err == nil || !strings.Contains(withoutColumns(err), want) {
					t.Errorf("error is\n%v\nwithout %q", err, want)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(c.want) {
				t.Errorf("%d errors, want %d:\n%v", lines, len(c.want), err)
			}
		})
	}
}

func FuzzDefinition(f *testing.F) {
	f.Add([]byte(good))
	for _, name := range Shipped() {
		data, err := models.Shipped.ReadFile(name + "/" + definitionFile)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("task: [[[[{a: &b *b}]]]]\n? [x]\n: 1\n"))
	f.Add([]byte("input: {mean: [.nan, .inf, 1e999], fill: ~}\nversions: {a: b}\n--- !!x\n"))
	f.Add([]byte(good + "versions: {gate: {images: /a, min_accuracy: 0.9, max_drop: 0, min_agreement: 1, limit: 200, timeout: 1h}}"))
	f.Add([]byte("task: detection\noutput: {decode: yolox}\nversions: {gate: {images: ., min_agreement: 1e-3}}"))
	f.Add([]byte("task: pipeline\nmax_crops: 9\nsteps:\n- {name: a, model: m}\n- {model: n, of: a, labels: [x], crop: {by: points, template: arcface}, turn: {step: a, label: x, min_score: 1}, min_score: 0.5}\n" +
		"- {name: b, model: n, of: a, crop: {by: points, target: [[1, 2], [3, 4]], width: 9, height: 9}, parameters: {top_k: 1, score_threshold: .1}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		d, err := parseFile(data, "m.yaml")
		if err != nil {
			return
		}
		if err := d.Validate(); err != nil {
			t.Errorf("Parse accepts what Validate refuses: %v", err)
		}
		if err := d.WithDefaults().Validate(); err != nil && d.Warmup != 0 {
			t.Errorf("filling defaults a second time makes it wrong: %v", err)
		}
	})
}
