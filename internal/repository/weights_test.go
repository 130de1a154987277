package repository

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
)

// addModel adds 12 bytes of weights to its input.
func addModel(change func(*onnxwriter.Model)) []byte {
	m := onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3)
	m.Floats("w", make([]float32, 3), 3)
	m.Node("Add", "y", nil, "x", "w")
	m.Output("y", onnxwriter.Float, "n", 3)
	if change != nil {
		change(&m)
	}
	return m.Bytes()
}

// kept has the model keep its weights in another file.
func kept(location string, offset, length int) func(*onnxwriter.Model) {
	return func(m *onnxwriter.Model) {
		m.Weights[0].External = []string{"location", location, "offset", strconv.Itoa(offset), "length", strconv.Itoa(length)}
	}
}

func weightsOf(t *testing.T, files map[string]string) (Weights, error) {
	t.Helper()
	files["m/model.yaml"] = good
	entry, err := Open(write(t, files)).Load("m")
	if err != nil {
		t.Fatal(err)
	}
	return entry.Weights(entry.Versions[0])
}

func length32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

func zipOf(name string) string {
	head := "PK\x03\x04" + strings.Repeat("\x00", 22)
	return head + string(binary.LittleEndian.AppendUint16(nil, uint16(len(name)))) + "\x00\x00" + name + "content"
}

func TestOtherFormatsAreDescribed(t *testing.T) {
	tar := make([]byte, 1024)
	copy(tar, "model.onnx")
	copy(tar[257:], "ustar\x0000")
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"nothing":                        {"", []string{"is empty", "copy it again"}},
		"a Git LFS pointer":              {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 102400\n", []string{"Git LFS pointer", "102400 bytes", "git lfs pull"}},
		"a Git LFS pointer from Windows": {"\ufeffversion https://git-lfs.github.com/spec/v1\r\noid sha256:4d7a\r\nsize 77\r\n", []string{"Git LFS pointer", "77 bytes"}},
		"an old Git LFS pointer":         {"version https://hawser.github.com/spec/v1\noid sha256:4d7a\nsize 5\n", []string{"Git LFS pointer"}},
		"a git-annex pointer":            {"/annex/objects/SHA256E-s12--ab.onnx\n", []string{"git-annex", "git annex get"}},
		"a DVC file":                     {"outs:\n- md5: 3f2b\n  size: 12\n  path: model.onnx\n", []string{"DVC", "dvc pull"}},
		"an HTML page that was saved":    {"<!-- saved from url=(0014)about:internet -->\n<html><head><title>Sign in</title>", []string{"HTML page", "Sign in"}},
		"an HTML page":                   {"<!DOCTYPE html><html><head><title>404 Not Found</title>", []string{"HTML page", "404 Not Found", "download it again"}},
		"an HTML page after white space": {"\r\n\n  <HTML lang=en><body>Sign in", []string{"HTML page"}},
		"S3's refusal":                   {`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, []string{"XML document", "AccessDenied", "download it again"}},
		"S3's refusal without a header":  {`<Error><Code>NoSuchKey</Code></Error>`, []string{"XML document", "NoSuchKey"}},
		"a JSON refusal":                 {`{"error":"Repository not found"}`, []string{"JSON text", "Repository not found", "download it again"}},
		"a text":                         {"Access to model acme/x is restricted.\nlog in", []string{"Access to model acme/x is restricted."}},
		"a link that git wrote as text":  {"../../blobs/8aa2", []string{`"../../blobs/8aa2"`}},
		"an OpenVINO model":              {`<?xml version="1.0"?><net name="r" version="11"><layers>`, []string{"OpenVINO"}},
		"PyTorch":                        {zipOf("resnet/data.pkl"), []string{"PyTorch", "torch.onnx.export"}},
		"PyTorch of version 2":           {zipOf("archive/.format_version"), []string{"PyTorch"}},
		"PyTorch before version 1.6":     {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", []string{"PyTorch", "older than version 1.6", "torch.onnx.export"}},
		"a pickle":                       {"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}", []string{"pickle", "torch.onnx.export"}},
		"Keras 3":                        {zipOf("metadata.json"), []string{"Keras", "tf2onnx"}},
		"NumPy's archive":                {zipOf("arr_0.npy"), []string{"NumPy"}},
		"a zip archive":                  {zipOf("model.onnx"), []string{"zip archive", "unpack it"}},
		"the first bytes of a zip":       {"PK\x03\x04", []string{"zip archive", "PyTorch"}},
		"HDF5":                           {"\x89HDF\r\n\x1a\n\x00\x00", []string{"Keras", "tf2onnx"}},
		"safetensors":                    {"\x40\x00\x00\x00\x00\x00\x00\x00{\"w\":{\"dtype\":\"F32\"}}", []string{"safetensors"}},
		"TensorFlow Lite":                {"\x1c\x00\x00\x00TFL3\x14\x00", []string{"TensorFlow Lite", "tf2onnx"}},
		"a SavedModel":                   {"\x08\x01\x12\xd0\x86\x03\x0a\x80\x01\x12\x00" + strings.Repeat("\x07", 9000), []string{"SavedModel", "tf2onnx"}},
		"a frozen graph of TensorFlow":   {"\x0a\x20\x0a\x05input\x12\x0bPlaceholder*\x0b\x0a\x05dtype\x12\x020\x01\x0a\x00", []string{"TensorFlow graph"}},
		"Core ML":                        {"\x08\x05\x12\x18\x0a\x10\x0a\x05image\x1a\x07\x22\x05\x08\x03\x10\x04\x18\x05\x52\x04prob", []string{"Core ML"}},
		"PaddlePaddle":                   {"\x0a\x90\x20\x08\x00\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x02", []string{"PaddlePaddle", "paddle2onnx"}},
		"a TensorRT engine":              {"ftrt\x00\x00\x00\x00", []string{"TensorRT"}},
		"an older TensorRT engine":       {"ptrt\x00\x00\x00\x00", []string{"TensorRT"}},
		"Ultralytics' TensorRT engine":   {length32(20) + `{"description": "x"}` + strings.Repeat("\x01", 40), []string{"TensorRT", "format=onnx"}},
		"GGUF":                           {"GGUF\x03\x00\x00\x00", []string{"GGUF"}},
		"ONNX Runtime's own format":      {"\x20\x00\x00\x00ORTM\x00\x00", []string{"ONNX Runtime's own format"}},
		"a NumPy array":                  {"\x93NUMPY\x01\x00", []string{"NumPy"}},
		"gzip":                           {"\x1f\x8b\x08\x00\x00", []string{"gzip", "unpack it"}},
		"zstd":                           {"\x28\xb5\x2f\xfd\x00", []string{"zstd", "unpack it"}},
		"xz":                             {"\xfd7zXZ\x00\x00", []string{"xz", "unpack it"}},
		"tar":                            {string(tar), []string{"tar archive", "unpack it"}},
		"zeros":                          {strings.Repeat("\x00", 5000), []string{"zero", "interrupted"}},
		"a PNG image":                    {"\x89PNG\r\n\x1a\n\x00\x00", []string{"PNG image"}},
		"bytes of no format":             {"\xc3\x28\xa0\xa1\xe2\x28", []string{"is not an ONNX file", "c3 28 a0 a1 e2 28"}},
		"half a model":                   {string(addModel(nil)[:60]), []string{"is truncated: it has 60 bytes", "copy it again"}},
		"a model whose middle is lost":   {string(addModel(nil)[:20]) + strings.Repeat("\x00", 400), []string{"damaged at byte"}},
		"a model without its operators":  {string(addModel(func(m *onnxwriter.Model) { m.Opset = -1 })), []string{"is truncated"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := weightsOf(t, map[string]string{"m/1/model.onnx": c.content})
			if err == nil {
				t.Fatalf("taken as weights: %+v", w)
			}
			for _, want := range append(c.want, filepath.Join("m", "1", "model.onnx")) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\r\x00") || len(err.Error()) > 600 {
				t.Errorf("the message is %q", err)
			}
		})
	}
}

// realModels are the shipped default model and the tiny ones of other packages' tests.
func realModels(t *testing.T) (files []string) {
	for _, pattern := range []string{"inference/testdata/*.onnx", "inference/onnx/testdata/*.onnx", "models/efficientnet-lite0/1/model.onnx"} {
		found, err := filepath.Glob(filepath.Join(testenv.Root(t), filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	return files
}

func TestEveryPrefixOfAModelIsTruncated(t *testing.T) {
	models := map[string][]byte{"made": addModel(nil)}
	for _, file := range realModels(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		models[filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file)] = data
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, data := range models {
		if _, err := inspect(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
		lengths := []int{1, 2, 3, len(data) - 1}
		for range 300 {
			lengths = append(lengths, 1+random.IntN(len(data)-1))
		}
		if len(data) < 2000 {
			lengths = nil
			for n := 1; n < len(data); n++ {
				lengths = append(lengths, n)
			}
		}
		for _, n := range lengths {
			_, err := inspect(bytes.NewReader(data[:n]), int64(n))
			if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("is truncated: it has %d bytes", n)) {
				t.Fatalf("%s, %d of %d bytes: %v", name, n, len(data), err)
			}
			if f, readErr := readONNX(bytes.NewReader(data[:n]), int64(n)); err == nil && (!f.graph || !f.operatorSet || readErr != nil) {
				t.Fatalf("%s, %d of %d bytes: taken without a graph or an operator set", name, n, len(data))
			}
		}
	}
}

// counting counts the bytes that are read.
type counting struct {
	data []byte
	read int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	n, err := bytes.NewReader(c.data).ReadAt(b, at)
	c.read += n
	return n, err
}

func TestWeightsAreSkipped(t *testing.T) {
	large := addModel(func(m *onnxwriter.Model) {
		m.Weights[0].Dims, m.Weights[0].Raw = []int{8 << 20}, make([]byte, 32<<20)
	})
	c := &counting{data: large}
	if _, err := inspect(c, int64(len(large))); err != nil || c.read > 1<<20 {
		t.Errorf("%v; read %d of %d bytes", err, c.read, len(large))
	}
}

func TestHostileFilesAreLeftToTheRuntime(t *testing.T) {
	var deep []byte // graphs in attributes of nodes in graphs
	for range 200 {
		for _, field := range []byte{6, 5, 1} { // AttributeProto.g, NodeProto.attribute, GraphProto.node
			deep = append(binary.AppendUvarint([]byte{field<<3 | wireBytes}, uint64(len(deep))), deep...)
		}
	}
	deep = append(binary.AppendUvarint([]byte{8, 8, modelGraph<<3 | wireBytes}, uint64(len(deep))), deep...)
	many := append([]byte{8, 8}, bytes.Repeat([]byte{14<<3 | wireBytes, 0}, maxFields)...)
	for name, data := range map[string][]byte{"deep": deep, "many": many} {
		if _, err := inspect(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExternalData(t *testing.T) {
	twelve := strings.Repeat("\x00", 12)
	for name, c := range map[string]struct {
		keep  func(*onnxwriter.Model)
		files map[string]string
		want  string // empty: taken
	}{
		"next to the model":       {kept("w.data", 0, 12), map[string]string{"m/1/w.data": twelve}, ""},
		"as exporters may write":  {kept("./w.data", 0, 12), map[string]string{"m/1/w.data": twelve}, ""},
		"in a folder next to it":  {kept("sub/w.data", 0, 12), map[string]string{"m/1/sub/w.data": twelve}, ""},
		"not there":               {kept("w.data", 0, 12), nil, `has weights in "w.data", which must be in `},
		"a Git LFS pointer":       {kept("w.data", 4096, 12), map[string]string{"m/1/w.data": "version https://git-lfs.github.com/spec/v1\noid x\nsize 12\n"}, "Git LFS pointer"},
		"an HTML page":            {kept("w.data", 4096, 12), map[string]string{"m/1/w.data": "<!doctype html>"}, "HTML page"},
		"truncated":               {kept("w.data", 8, 12), map[string]string{"m/1/w.data": twelve}, "truncated: it has 12 bytes, and the model needs 20"},
		"a byte short":            {kept("w.data", 1, 12), map[string]string{"m/1/w.data": twelve}, "truncated: it has 12 bytes, and the model needs 13"},
		"a folder":                {kept("w.data", 0, 12), map[string]string{"m/1/w.data/": ""}, "is not a regular file"},
		"above the model":         {kept("../w.data", 0, 12), map[string]string{"m/w.data": twelve}, "is not a file in the folder of model.onnx"},
		"far above":               {kept("../../../../etc/passwd", 0, 12), nil, "is not a file in the folder of model.onnx"},
		"by way of the folder":    {kept("a/../../w.data", 0, 12), map[string]string{"m/w.data": twelve}, "is not a file in the folder of model.onnx"},
		"an absolute path":        {kept("/etc/passwd", 0, 12), nil, "is not a file in the folder of model.onnx"},
		"no name":                 {kept("", 0, 12), nil, "is not a file in the folder of model.onnx"},
		"memory of the runtime":   {kept("*/_ORT_MEM_ADDR_/*", 64, 12), nil, "no such file"},
		"of a constant in a node": {constant("../w.data"), nil, "is not a file in the folder of model.onnx"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"m/1/model.onnx": string(addModel(c.keep))}
			for name, content := range c.files {
				files[name] = content
			}
			w, err := weightsOf(t, files)
			switch {
			case c.want == "" && (err != nil || w.Size != int64(len(files["m/1/model.onnx"])+12)):
				t.Errorf("%+v, %v", w, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v, %v; want %q", w, err, c.want)
			}
		})
	}
}

// constant keeps the value of a Constant node elsewhere.
func constant(location string) func(*onnxwriter.Model) {
	return func(m *onnxwriter.Model) {
		value := m.Weights[0]
		value.External = []string{"location", location}
		m.Weights, m.Nodes = nil, append([]onnxwriter.Node{{Op: "Constant", Out: []string{"w"}, Attributes: onnxwriter.Attributes{"value": value}}}, m.Nodes...)
	}
}

func TestQuantizedModelsAreDetected(t *testing.T) {
	int8Weights := func(op string, opset int64, dims ...int) func(*onnxwriter.Model) {
		return func(m *onnxwriter.Model) {
			m.Opset, m.Nodes[0].Op = opset, op
			m.Weights[0].Type, m.Weights[0].Dims = onnxwriter.Int8, dims
		}
	}
	for name, c := range map[string]struct {
		change            func(*onnxwriter.Model)
		quantized, always bool
	}{
		"float32":                            {nil, false, false},
		"QLinearConv":                        {int8Weights("QLinearConv", 10, 4, 3, 1, 1), true, false},
		"QLinearMatMul":                      {int8Weights("QLinearMatMul", 17, 3, 4), true, false},
		"QLinearMatMul of opset 20":          {int8Weights("QLinearMatMul", 20, 3, 4), true, false},
		"QLinearMatMul that stays as it is":  {int8Weights("QLinearMatMul", 21, 3, 4), true, true},
		"weights of int8, activations float": {int8Weights("DequantizeLinear", 17, 3, 4), false, false},
		"int8 of zero points alone":          {int8Weights("QuantizeLinear", 17, 4), false, false},
	} {
		w, err := weightsOf(t, map[string]string{"m/1/model.onnx": string(addModel(c.change))})
		if err != nil || w.Quantized != c.quantized || w.SaturatesAlways != c.always {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(addModel(nil))
	f.Add(addModel(kept("w.data", 0, 12)))
	f.Add(fullModel())
	f.Add(quantizedModel(nil))
	f.Add([]byte(zipOf("a/data.pkl")))
	f.Add([]byte("version https://git-lfs.github.com/spec/v1\nsize 1\n"))
	f.Add([]byte("\x08\x01\x12\x02\x0a\x00"))
	f.Add([]byte("\x0a\x20\x0a\x05input\x12"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		file, err := inspect(bytes.NewReader(data), int64(len(data)))
		if (file == nil) == (err == nil) {
			t.Fatalf("%+v with %v", file, err)
		}
		if err != nil && (err.Error() == "" || strings.ContainsAny(err.Error(), "\n\r\x00\x1b") || len(err.Error()) > 1000) {
			t.Fatalf("the message is %q", err)
		}
		if g, graphErr := ReadGraph(bytes.NewReader(data), int64(len(data))); graphErr == nil && (err != nil || g == nil) {
			t.Fatalf("a graph %+v of a file with the error %v", g, err)
		}
		if err == nil && len(file.external) > maxListed {
			t.Fatalf("%d files of external data", len(file.external))
		}
		if err == nil && len(data) > 0 && !slices.Contains(data, byte(modelGraph<<3|wireBytes)) && len(data) < maxFields {
			t.Fatal("taken without a graph")
		}
	})
}
