package v2http

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

func unlimited(int64) error { return nil }

func TestParse(t *testing.T) {
	body := []byte(`{"id":"a\"b","more":{"x":[1]},"inputs":[{"name":"x","shape":[2,2],"datatype":"INT16","data":[[1,-2],[3,4]]},` +
		`{"name":"raw","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3,"other":"y"}}],` +
		`"outputs":[{"name":"a","parameters":{"binary_data":false}},{"name":"b","parameters":{"classification":3}}],` +
		`"parameters":{"timeout":5,"score_threshold":0.5,"big":18446744073709551615,"binary_data_output":true,"s":"t","yes":true}}`)
	if _, err := Parse(append(body, "abc"...), nil, unlimited); err == nil {
		t.Error("a body with more after the JSON")
	}
	r, err := Parse(append(body, "abc"...), []string{fmt.Sprint(len(body))}, unlimited)
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != `a"b` || len(r.Inputs) != 2 || r.Inputs[0].Name != "x" || fmt.Sprint(r.Inputs[0].Shape) != "[2 2]" || fmt.Sprint(r.Outputs) != "[{a 0} {b 3}]" {
		t.Errorf("%+v", r)
	}
	want := v2.Parameters{"timeout": int64(5), "score_threshold": 0.5, "big": uint64(18446744073709551615), "s": "t", "yes": true}
	if fmt.Sprint(r.Parameters) != fmt.Sprint(want) {
		t.Errorf("parameters %v", r.Parameters)
	}
	for i, want := range [][]byte{{1, 0, 254, 255, 3, 0, 4, 0}, []byte("abc")} {
		data, err := r.Inputs[i].Data.Read("x", r.Inputs[i].Datatype, []int64{4, 3}[i])
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("input %d: %v, %v", i, data, err)
		}
	}
	w, err := r.Write(&v2.Response{Model: "m", Version: "2", Outputs: []v2.Output{{Name: "a", Datatype: "FP32", Shape: []int64{2}, Data: []byte{0, 0, 128, 63, 0, 0, 192, 127}},
		{Name: "b", Datatype: v2.Bytes, Shape: []int64{1}, Data: v2.AppendBytes(nil, "z")}}})
	if err != nil {
		t.Fatal(err)
	}
	const header = `{"id":"a\"b","model_name":"m","model_version":"2","outputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1,NaN]},` +
		`{"name":"b","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`
	if string(w.Header) != header || !w.Binary() || w.Size() != len(header)+5 {
		t.Errorf("got %s", w.Header)
	}
}

func TestParseErrors(t *testing.T) {
	const start = `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32",`
	for says, body := range map[string]string{
		"the request is not an object":                     `[]`,
		"ends too early":                                   `{"inputs":[]`,
		`has no "inputs"`:                                  `{}`,
		"nested deeper than 64":                            `{"x":` + strings.Repeat("[", 90000),
		"nested deeper than 64, at":                        start + `"data":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}]}`,
		"the request has more than 4096 fields":            `{` + manyFields() + `}`,
		"id is not a string":                               `{"id":7}`,
		"there is more after it":                           `{"inputs":[]} x`,
		`has the field "id" twice`:                         `{"id":"","id":""}`,
		"either data or the parameter binary_data_size":    start + `"parameters":{}}]}`,
		"input 'x' must have either data or":               start + `"data":[1],"parameters":{"binary_data_size":4}}]}`,
		"binary_data_size is not a number":                 start + `"parameters":{"binary_data_size":"4"}}]}`,
		"parameter binary_data_size is not":                start + `"parameters":{"binary_data_size":-4}}]}`,
		"expecting 4 additional bytes":                     start + `"parameters":{"binary_data_size":4}}]}`,
		"shared memory is not supported":                   start + `"parameters":{"shared_memory_region":"r"}}]}`,
		"not a whole number of 64 bits":                    `{"inputs":[{"shape":[1.5]}]}`,
		`a size of a shape is "99999999999999999999"`:      `{"inputs":[{"shape":[99999999999999999999]}]}`,
		"more than 64 dimensions":                          `{"inputs":[{"shape":[` + strings.Repeat("1,", 64) + `1]}]}`,
		`parameter "x" is neither a number`:                `{"inputs":[],"parameters":{"x":{}}}`,
		`parameter "y" is neither`:                         `{"inputs":[],"parameters":{"y":null}}`,
		"binary_data_output is not true or false":          `{"inputs":[],"parameters":{"binary_data_output":1}}`,
		"parameter binary_data is not true or false":       `{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":1}}]}`,
		"classification is not a number of classes":        `{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":"3"}}]}`,
		"parameter shared_memory_offset: shared memory is": `{"inputs":[],"outputs":[{"name":"y","parameters":{"shared_memory_offset":1}}]}`,
		"more than 4096 inputs":                            `{"inputs":[` + strings.Repeat(`{"data":[]},`, 4096) + `{}]}`,
		"more than 4096 outputs":                           `{"inputs":[],"outputs":[` + strings.Repeat(`{},`, 4096) + `{}]}`,
	} {
		if _, err := Parse([]byte(body), nil, unlimited); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: got %v, want %q", body, err, says)
		}
	}
	for _, length := range [][]string{{"x"}, {"-1"}, {""}, {"13"}, {"1", "2"}, {"99999999999999999999"}} {
		if _, err := Parse([]byte(`{"inputs":[]}`)[:12], length, unlimited); err == nil || !strings.Contains(err.Error(), HeaderLength) {
			t.Errorf("length %q: %v", length, err)
		}
	}
	if r, err := Parse([]byte("pixels"), []string{"0"}, unlimited); err != nil || string(r.Body) != "pixels" || !r.binary {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := Parse(nil, []string{"0"}, unlimited); err != nil || r.Body == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Parse([]byte(`{"inputs":[]}x`), []string{"13"}, unlimited); err == nil || !strings.Contains(err.Error(), "unexpected additional input data: 1 bytes") {
		t.Errorf("got %v", err)
	}
}

// manyFields are more fields than an object may have.
func manyFields() string {
	fields := make([]string, maxFields+1)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"%d":0`, i)
	}
	return strings.Join(fields, ",")
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		datatype, json string
		elements       int64
		want           []byte // nil: an error that says
		says           string
	}{
		{"BOOL", "[true,[false]]", 2, []byte{1, 0}, ""},
		{"BOOL", "[1]", 1, nil, `is "1", not BOOL`},
		{"UINT8", "[255]", 1, []byte{255}, ""},
		{"UINT8", "[256]", 1, nil, `is "256", not UINT8`},
		{"UINT8", "[-1]", 1, nil, "not UINT8"},
		{"INT8", "[-128,127]", 2, []byte{128, 127}, ""},
		{"INT8", "[128]", 1, nil, "not INT8"},
		{"UINT16", "[65535]", 1, []byte{255, 255}, ""},
		{"INT16", "[-2]", 1, []byte{254, 255}, ""},
		{"INT32", "[1.0]", 1, nil, `is "1.0", not INT32`},
		{"INT32", "[-1]", 1, []byte{255, 255, 255, 255}, ""},
		{"UINT32", "[4294967295]", 1, []byte{255, 255, 255, 255}, ""},
		{"INT64", "[9223372036854775807]", 1, []byte{255, 255, 255, 255, 255, 255, 255, 127}, ""},
		{"UINT64", "[18446744073709551615]", 1, bytes.Repeat([]byte{255}, 8), ""},
		{"FP32", "[0.5,NaN,-Infinity,1e39]", 4, []byte{0, 0, 0, 63, 0, 0, 192, 127, 0, 0, 128, 255, 0, 0, 128, 127}, ""},
		{"FP32", "[null]", 1, nil, `is "null", not FP32`},
		{"FP32", `["1"]`, 1, nil, "is a string, not FP32"},
		{"FP64", "[1]", 1, []byte{0, 0, 0, 0, 0, 0, 240, 63}, ""},
		{"FP32", "[1,2]", 1, nil, "more elements than its shape"},
		{"FP32", "[1,[],2]", 3, nil, "has 2 elements; its shape takes 3"},
		{"FP32", "[1]", 1 << 40, nil, "fewer elements than its shape"},
		{"FP32", "1", 1, nil, "is not an array"},
		{"FP16", "[1]", 1, nil, "receiving FP16 data via JSON is not supported"},
		{"BF16", "[1]", 1, nil, "receiving BF16 data via JSON is not supported"},
		{"BYTES", `["a","\u00fc"]`, 2, []byte("\x01\x00\x00\x00a\x02\x00\x00\x00ü"), ""},
		{"BYTES", "[1]", 1, nil, "is not a string"},
	} {
		got, err := (&values{[]byte(c.json), unlimited}).Read("x", c.datatype, c.elements)
		if !bytes.Equal(got, c.want) || (err == nil) != (c.want != nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, %v", c.datatype, c.json, got, err)
		}
	}
	full := apierror.New(apierror.QueueFull, "full")
	_, err := (&values{[]byte("[1,2]"), func(n int64) error {
		if n != 16 {
			t.Errorf("converted to %d bytes", n)
		}
		return full
	}}).Read("x", "INT64", 2)
	if apierror.From(err).Code != apierror.QueueFull {
		t.Error(err)
	}
}

func TestResponseOfEveryDatatype(t *testing.T) {
	ones := bytes.Repeat([]byte{1}, 8)
	for datatype, want := range map[string]string{"BOOL": "true", "UINT8": "1", "INT8": "1", "UINT16": "257", "INT16": "257", "UINT32": "16843009",
		"INT32": "16843009", "UINT64": "72340172838076673", "INT64": "72340172838076673", "FP32": "2.3694278e-38", "FP64": "7.748604185489348e-304"} {
		out := v2.Output{Name: "y", Datatype: datatype, Shape: []int64{1}, Data: ones[:v2.Size(datatype)]}
		w, err := (&Request{}).Write(&v2.Response{Outputs: []v2.Output{out}})
		if err != nil || !strings.Contains(string(w.Header), `"data":[`+want+`]`) {
			t.Errorf("%s: %s, %v", datatype, w.Header, err)
		}
	}
	for says, out := range map[string]v2.Output{
		"sending FP16 data via JSON is not supported": {Datatype: "FP16", Data: []byte{0, 0}},
		"has bytes that are no text":                  {Datatype: v2.Bytes, Data: v2.AppendBytes(nil, "\xff\xd8")},
	} {
		if _, err := (&Request{}).Write(&v2.Response{Outputs: []v2.Output{out}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v", err)
		}
	}
	w, err := (&Request{}).Write(&v2.Response{Outputs: []v2.Output{{Name: "a", Datatype: v2.Bytes, Shape: []int64{2}, Data: v2.AppendBytes(v2.AppendBytes(nil, "ü"), "\"")}}})
	if err != nil || !strings.Contains(string(w.Header), `"data":["ü","\""]`) {
		t.Errorf("%s, %v", w.Header, err)
	}
}

func TestOutputsAsJSONAreCounted(t *testing.T) {
	for datatype, data := range map[string][]byte{"UINT8": bytes.Repeat([]byte{255}, 1000), "INT8": bytes.Repeat([]byte{0x80}, 1000), "FP32": bytes.Repeat([]byte{0xD2, 0x39, 0x92, 0xBE}, 1000),
		"INT64": bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 1000), "FP64": bytes.Repeat([]byte{0x11, 0xEA, 0x2D, 0x81, 0x99, 0x97, 0x71, 0xBD}, 1000),
		v2.Bytes: bytes.Repeat(v2.AppendBytes(nil, "<"), 1000)} {
		counted := int64(0)
		r := &Request{}
		r.Grow = func(n int64) error { counted += n; return nil }
		response, err := r.Write(&v2.Response{Outputs: []v2.Output{{Name: "y", Datatype: datatype, Shape: []int64{1}, Data: data}}})
		if err != nil || counted < int64(len(response.Header)) {
			t.Errorf("%s: %d bytes are counted, for %d: %v", datatype, counted, len(response.Header), err)
		}
		refused := errors.New("full")
		r.Grow = func(int64) error { return refused }
		if _, err := r.Write(&v2.Response{Outputs: []v2.Output{{Name: "y", Datatype: datatype, Data: data}}}); !errors.Is(err, refused) {
			t.Errorf("%s: %v, want the refusal", datatype, err)
		}
	}
}
