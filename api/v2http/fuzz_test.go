package v2http

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// FuzzRequest parses any body with any length of its JSON, and reads the inputs as the most elements that they may claim to have. Bytes
// of binary tensors must be those of the body, and each error one of the client.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[[1,2.5e3]]}],"outputs":[{"name":"y","parameters":{"classification":3}}]}`,
		`{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["a","\u00fc"]},{"name":"z","shape":[3],"datatype":"BOOL","data":[true,false,NaN]}]}`,
		`{"inputs":[{"name":"x","shape":[4],"datatype":"UINT8","parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true,"t":1e400}}abcd`,
		`{"inputs":[]}`, `[[[[[[`, "\xef\xbb\xbf{}", `{"a":1,"a":2}`, `{"inputs":[{"shape":[-1,99999999999999999999]}]}`,
	} {
		f.Add([]byte(seed), "", int64(2))
		f.Add([]byte(seed), "0", int64(1))
		f.Add([]byte(seed), "120", int64(1<<40))
	}
	f.Fuzz(func(t *testing.T, body []byte, length string, elements int64) {
		var header []string
		if length != "" {
			header = []string{length}
		}
		allowed := int64(1 << 20)
		r, err := Parse(body, header, func(n int64) error {
			if n < 0 || n > allowed {
				return apierror.New(apierror.QueueFull, "too much")
			}
			return nil
		})
		if err != nil {
			checkClient(t, err)
			return
		}
		total := 0
		for _, in := range r.Inputs {
			data, err := in.Data.Read(in.Name, in.Datatype, elements)
			if err != nil {
				checkClient(t, err)
				continue
			}
			if raw, ok := in.Data.(v2.Raw); ok {
				total += len(raw)
			}
			if size := v2.Size(in.Datatype); size > 0 && int64(len(data)) != elements*int64(size) {
				t.Fatalf("%d bytes for %d elements of %s", len(data), elements, in.Datatype)
			}
		}
		if total > len(body) {
			t.Fatalf("%d bytes of tensors in a body of %d", total, len(body))
		}
	})
}

// checkClient checks that an error blames the client, in text.
func checkClient(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*apierror.Error](err)
	if !ok || e.Code != apierror.Malformed && e.Code != apierror.InvalidParameter && e.Code != apierror.QueueFull || e.Message == "" {
		t.Fatalf("got %v", err)
	}
}

// FuzzScanner compares the scanner with encoding/json: what one accepts the other does, but for NaN, infinities, depth and names that
// occur twice.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+3,true,null,"x\n\u00e4"]}`, `01`, `1.`, `"a`, "\"\x01\"", `{"a" 1}`, `[1,]`, `{,}`, ` [ ] `, `-`, `"\ud800"`, `nul`, `1 2`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{data: data}
		_, err := s.skip()
		if err == nil {
			err = s.end()
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		own := strings.Contains(text, "nested deeper") || strings.Contains(text, "twice") || strings.Contains(text, "fields")
		if valid := json.Valid(data); valid && err != nil && !own {
			t.Fatalf("refused: %v", err)
		} else if !valid && err == nil && !strings.Contains(string(data), "NaN") && !strings.Contains(string(data), "Infinity") {
			t.Fatal("accepted")
		}
	})
}

// FuzzBytes splits BYTES, and puts them together again.
func FuzzBytes(f *testing.F) {
	f.Add(v2.AppendBytes(v2.AppendBytes(nil, "abc"), ""), int64(2))
	f.Add([]byte{255, 255, 255, 255}, int64(1))
	f.Add([]byte{0, 0, 0, 0}, int64(1<<62))
	f.Fuzz(func(t *testing.T, data []byte, count int64) {
		list, err := v2.SplitBytes(data, count, "x")
		if err != nil {
			checkClient(t, err)
			return
		}
		var again []byte
		for _, e := range list {
			again = v2.AppendBytes(again, e)
		}
		if int64(len(list)) != count || !slices.Equal(again, data) {
			t.Fatalf("%d elements, %d bytes of %d", len(list), len(again), len(data))
		}
	})
}

// FuzzResponse writes outputs of any bytes as JSON, which must be valid but for NaN and infinities, and have as many elements.
func FuzzResponse(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32(nil, 0x7fc00000), byte(0))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, byte(3))
	kinds := slices.DeleteFunc(v2.Datatypes(), func(d string) bool { return formats[d] == nil })
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		datatype := kinds[int(kind)%len(kinds)]
		n := len(data) / v2.Size(datatype)
		out := v2.Output{Name: "y\x00\xff", Datatype: datatype, Shape: []int64{int64(n)}, Data: data[:n*v2.Size(datatype)]}
		w, err := (&Request{ID: "<id>"}).Write(&v2.Response{Model: "m", Version: "1", Outputs: []v2.Output{out}})
		if err != nil || w.Binary() || w.Size() != len(w.Header) {
			t.Fatalf("%v", err)
		}
		text := strings.NewReplacer("-Infinity", "0", "Infinity", "0", "NaN", "0").Replace(string(w.Header))
		var got struct{ Outputs []struct{ Data []any } }
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Outputs[0].Data) != n {
			t.Fatalf("%v in %s", err, w.Header)
		}
	})
}
