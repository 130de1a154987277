package loadtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fovea/internal/config"

	"google.golang.org/protobuf/encoding/protowire"
)

var twoInputs = []tensor{
	{tensorInfo{"x", "FP32", []int64{1, 2}}, []byte("12345678")},
	{tensorInfo{"y", "BYTES", []int64{300}}, []byte("\x01\x00\x00\x00z")},
}

func TestV2Requests(t *testing.T) {
	b := httpRequest(twoInputs)
	const header = `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},` +
		`{"name":"y","datatype":"BYTES","shape":[300],"parameters":{"binary_data_size":5}}],"parameters":{"binary_data_output":true}}`
	if string(b.data) != header+"12345678\x01\x00\x00\x00z" || b.header.Get("Inference-Header-Content-Length") != fmt.Sprint(len(header)) {
		t.Errorf("HTTP: %q, %v", b.data, b.header)
	}
	// The message by hand: field number and wire type, length, value. 300 is AC 02 as a varint.
	const message = "\x0A\x01m" + "\x2A\x0D" + "\x0A\x01x" + "\x12\x04FP32" + "\x1A\x02\x01\x02" + "\x2A\x0E" + "\x0A\x01y" + "\x12\x05BYTES" + "\x1A\x02\xAC\x02" +
		"\x3A\x0812345678" + "\x3A\x05\x01\x00\x00\x00z"
	if b := grpcRequest("m", twoInputs); string(b.data) != "\x00\x00\x00\x00"+string(rune(len(message)))+message || b.header.Get("Te") != "trailers" {
		t.Errorf("gRPC:\n%q, want\n%q", b.data[5:], message)
	}
	images := imageTensor(tensorInfo{Name: "image"}, []Image{{Data: []byte("ab")}, {Data: []byte("c")}})
	if !slices.Equal(images.Shape, []int64{2, 1}) || images.Name != "image" || images.Datatype != "BYTES" || string(images.data) != "\x02\x00\x00\x00ab\x01\x00\x00\x00c" {
		t.Errorf("images: %v", images)
	}
}

// asHTTP and asGRPC make responses.
func asHTTP(outputs []tensor) []byte {
	return bytes.Replace(httpRequest(outputs).data, []byte(`"inputs"`), []byte(`"model_name":"m","outputs"`), 1)
}

func asGRPC(outputs []tensor) []byte {
	var message []byte
	for _, t := range outputs {
		info := appendField(appendField(nil, tensorName, []byte(t.Name)), tensorDatatype, []byte(t.Datatype))
		for _, size := range t.Shape { // not packed, as is also allowed
			info = protowire.AppendVarint(protowire.AppendTag(info, tensorShape, protowire.VarintType), uint64(size))
		}
		message = appendField(message, responseOutput, info)
	}
	for _, t := range outputs {
		message = appendField(message, responseRaw, t.data)
	}
	return protowire.AppendVarint(protowire.AppendTag(message, 99, protowire.VarintType), 7) // of a later version
}

func TestV2ResponsesAreChecked(t *testing.T) {
	metadata := []tensorInfo{{"scores", "FP32", []int64{-1, 2}}, {"labels", "BYTES", []int64{-1}}}
	scores := func(shape ...int64) tensor {
		return tensor{tensorInfo{"scores", "FP32", shape}, make([]byte, 16)}
	}
	labels := tensor{tensorInfo{"labels", "BYTES", []int64{2}}, []byte("\x01\x00\x00\x00a\x00\x00\x00\x00")}
	extra := tensor{tensorInfo{"extra", "INT8", []int64{1}}, []byte{1}}
	short := scores(2, 2)
	short.data = short.data[:15]
	long := scores(2, 2)
	long.data = make([]byte, 17)
	other := scores(2, 2)
	other.Datatype = "INT32"
	cut := labels
	cut.data = cut.data[:7]
	for _, test := range []struct {
		name    string
		tensors bool // instead of images
		outputs []tensor
		want    string
	}{
		{"good", false, []tensor{scores(2, 2), labels}, ""},
		{"in another order, and one more", false, []tensor{labels, extra, scores(2, 2)}, ""},
		{"none", false, nil, kindMissing},
		{"one missing", false, []tensor{scores(2, 2)}, kindMissing},
		{"too few bytes", false, []tensor{short, labels}, kindOutput},
		{"too few bytes of strings", false, []tensor{scores(2, 2), cut}, kindOutput},
		{"too many bytes", false, []tensor{long, labels}, kindOutput},
		{"another type", false, []tensor{other, labels}, kindOutput},
		{"more elements than bytes", false, []tensor{scores(2, 3), labels}, kindOutput},
		{"a row for one of two images", false, []tensor{scores(1, 4), labels}, kindOutput},
		{"no rows", false, []tensor{scores(), labels}, kindOutput},
		{"tensors need no row for each", true, []tensor{scores(1, 4), labels}, ""},
		{"a negative size", true, []tensor{scores(-2, -2), labels}, kindOutput},
		{"larger than any number", true, []tensor{scores(1<<62, 1<<62), labels}, kindOutput},
	} {
		for protocol, c := range map[string]struct {
			v2Checker
			response []byte
		}{
			"HTTP": {v2Checker{metadata, !test.tensors, httpResponse}, asHTTP(test.outputs)},
			"gRPC": {v2Checker{metadata, !test.tensors, grpcResponse}, asGRPC(test.outputs)},
		} {
			var want []string
			if test.want != "" {
				want = []string{test.want, test.want}
			}
			whole := checker{v2: &c.v2Checker, fovea: true}
			if got := whole.failures(body{images: []int{0, 1}}, http.StatusOK, "", c.response); !slices.Equal(got, want) {
				t.Errorf("%s over %s: %q, want %q", test.name, protocol, got, want)
			}
		}
	}
}

func TestV2ResponsesThatCannotBeRead(t *testing.T) {
	good := []tensor{{tensorInfo{"x", "FP32", []int64{1}}, []byte("1234")}}
	for name, response := range map[string]string{
		"HTML": "<html>", "nothing": "", "cut": string(asHTTP(good)[:len(asHTTP(good))-1]), "more": string(asHTTP(good)) + "x",
		"no binary data":    `{"outputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}`,
		"a negative length": `{"outputs":[{"name":"x","parameters":{"binary_data_size":-1}}]}`,
	} {
		if outputs, err := httpResponse([]byte(response)); err == nil {
			t.Errorf("HTTP: %s: %v", name, outputs)
		}
	}
	for name, response := range map[string]string{
		"text": "hello", "cut": string(asGRPC(good)[:20]), "a tensor that is none": "\x2A\x01\xFF\x32\x00", "a shape that is none": "\x2A\x03\x1A\x01\xFF\x32\x00",
		"contents without an output": "\x32\x00", "an output without contents": "\x2A\x00",
	} {
		if outputs, err := grpcResponse([]byte(response)); err == nil {
			t.Errorf("gRPC: %s: %v", name, outputs)
		}
	}
	c := v2Checker{outputs: []tensorInfo{{Name: "x"}}, read: httpResponse}
	if got := c.failures(2, []byte("<html>")); !slices.Equal(got, []string{kindNoV2, kindNoV2}) {
		t.Errorf("got %q", got)
	}
}

func FuzzV2Response(f *testing.F) {
	good := []tensor{{tensorInfo{"x", "FP32", []int64{1, 300}}, []byte("1234")}, {tensorInfo{"y", "BYTES", nil}, nil}}
	f.Add(asHTTP(good))
	f.Add(asGRPC(good))
	f.Fuzz(func(t *testing.T, response []byte) {
		for _, read := range []func([]byte) ([]tensor, error){httpResponse, grpcResponse} {
			outputs, err := read(response)
			total := 0
			for _, o := range outputs {
				total += len(o.data)
				elements(o.Shape)
			}
			if err == nil && total > len(response) {
				t.Errorf("%d bytes of outputs in %d bytes", total, len(response))
			}
		}
	})
}

// v2Server imitates a server of the Open Inference Protocol with one model, m, whose output echoes. infer answers a call.
func v2Server(t *testing.T, infer http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/models/{name}", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.PathValue("name"), "m") {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"versions":["2","3"],"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`)
	})
	mux.HandleFunc("POST "+inferMethod, infer)
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func v2Config(t *testing.T, url string) Config {
	t.Helper()
	c := quick(t, &fakeServer{URL: url})
	c.Protocol, c.V2.GRPC, c.V2.Input, c.Model, c.Metrics = V2GRPC, url, Random, "m", "none"
	return c
}

var goodMessage = asGRPC([]tensor{{tensorInfo{"y", "FP32", []int64{1, 2}}, make([]byte, 8)}})

// answerCall answers a call with a message, if there is one, and a status.
func answerCall(w http.ResponseWriter, message []byte, status, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	if message != nil {
		_, _ = w.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))))
		_, _ = w.Write(message)
	}
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", text)
}

func TestCallsThatFailAreCountedByStatus(t *testing.T) {
	var calls atomic.Int64
	url := v2Server(t, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil || r.ProtoMajor != 2 || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || len(data) < 13 {
			t.Errorf("%s, %v, %d bytes, %v", r.Proto, r.Header, len(data), err)
		}
		n := calls.Add(1)
		switch {
		case n == 1 || n%7 == 0: // the first is that before the load
			answerCall(w, goodMessage, "0", "")
		case n%7 == 1:
			answerCall(w, nil, "8", "the queue is full")
		case n%7 == 2:
			w.Header().Set("Grpc-Status", "14") // without trailers
		case n%7 == 3:
			answerCall(w, goodMessage[:10], "0", "")
		case n%7 == 4:
			answerCall(w, nil, "0", "")
		case n%7 == 5:
			answerCall(w, goodMessage, "x", "")
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	c := v2Config(t, url)
	c.WindowCount = 21
	p, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context(), func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	l := r.Levels[0]
	kinds := slices.Sorted(maps.Keys(l.Failures))
	if want := []string{"HTTP 502", "RESOURCE_EXHAUSTED", "UNAVAILABLE", kindNoStatus, kindFrame, kindNoV2}; !slices.Equal(kinds, slices.Sorted(slices.Values(want))) {
		t.Errorf("failures %v", l.Failures)
	}
	if l.Images < l.AllImages/7 || l.AllImages*5 > l.AllFailed() || r.Load.Protocol != V2GRPC || r.Load.Input != Random || r.Load.Body != "" ||
		r.Load.ImageBytes != 8 || r.Target.Version != "3" || r.Target.Model != "m" {
		t.Errorf("%+v\n%+v\n%+v", l, r.Load, r.Target)
	}
}

func TestResultsOfCalls(t *testing.T) {
	for _, test := range []struct {
		name, status, data string
		code               int
		kind, body         string
	}{
		{"a message", "0", "\x00\x00\x00\x00\x02ab", 200, "200 OK", "ab"},
		{"an empty message", "0", "\x00\x00\x00\x00\x00", 200, "200 OK", ""},
		{"a compressed message", "0", "\x01\x00\x00\x00\x02ab", 500, kindFrame, "\x01\x00\x00\x00\x02ab"},
		{"less than its length", "0", "\x00\x00\x00\x00\x03ab", 500, kindFrame, "\x00\x00\x00\x00\x03ab"},
		{"two messages", "0", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 500, kindFrame, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"the last status", "16", "", 500, "UNAUTHENTICATED", ""},
		{"an unknown status", "17", "", 500, kindNoStatus, ""},
		{"a negative status", "-1", "", 500, kindNoStatus, ""},
	} {
		r := grpcResult(&http.Response{StatusCode: 200, Status: "200 OK", Trailer: http.Header{"Grpc-Status": {test.status}}}, []byte(test.data))
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != test.code || r.Status != test.kind || string(text) != test.body {
			t.Errorf("%s: %d, %q, %q, %v", test.name, r.StatusCode, r.Status, text, err)
		}
	}
}

func TestCallsThatFailBeforeTheLoad(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		change func(*Config)
		want   []string
	}{
		{"a status with a message", func(w http.ResponseWriter, _ *http.Request) { answerCall(w, nil, "3", "100 %25 wrong") }, nil, []string{"random tensors: ", "INVALID_ARGUMENT: 100 % wrong"}},
		{"an output of another type", func(w http.ResponseWriter, _ *http.Request) {
			answerCall(w, asGRPC([]tensor{{tensorInfo{"y", "INT8", []int64{1}}, []byte{1}}}), "0", "")
		}, nil, []string{kindOutput}},
		{"no HTTP/2", nil, func(c *Config) {
			plain := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(plain.Close)
			c.V2.GRPC = plain.URL
		}, []string{"no response"}},
		{"no gRPC", nil, func(c *Config) { c.V2.GRPC = "http://127.0.0.1:1" }, []string{"no response", kindRefused}},
		{"an unknown model", nil, func(c *Config) { c.Model = "x" }, []string{"GET ", "/v2/models/x: HTTP 404"}},
		{"an unknown model of images", nil, func(c *Config) { c.Model, c.V2.Input = "x", EncodedImages }, []string{"/v2/models/x.image: HTTP 404", "use input random or zero"}},
		{"a shape of no input", nil, func(c *Config) { c.V2.Shapes = Shapes{"z": {1}} }, []string{`no input "z"`}},
		{"no images", nil, func(c *Config) { c.V2.Input, c.Images = EncodedImages, "/no/such" }, []string{"/no/such does not exist"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := test.answer
			if answer == nil {
				answer = http.NotFound
			}
			c := v2Config(t, v2Server(t, answer))
			if test.change != nil {
				test.change(&c)
			}
			_, err := Prepare(t.Context(), c)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		})
	}
}

func TestV2Configuration(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // keys
	}{
		{"images", func(c *Config) { c.Protocol, c.Body.Images = V2HTTP, 8 }, nil},
		{"tensors", func(c *Config) { c.Protocol, c.V2.Input, c.V2.Shapes = V2GRPC, Zero, Shapes{"x": {1}} }, nil},
		{"several images in a raw body", func(c *Config) { c.Body.Images = 8 }, []string{"images-per-request"}},
		{"tensors by v1", func(c *Config) { c.V2.Input = Random }, []string{"input"}},
		{"a shape of images", func(c *Config) { c.Protocol, c.V2.Shapes = V2HTTP, Shapes{"x": {1}} }, []string{"shape"}},
		{"no URL", func(c *Config) { c.Protocol, c.V2.GRPC = V2GRPC, "" }, []string{"grpc-url"}},
		{"an address that is no URL", func(c *Config) { c.Protocol, c.V2.GRPC = V2GRPC, "127.0.0.1:8001" }, []string{"grpc-url"}},
		{"what only v1 has", func(c *Config) {
			c.Protocol, c.URL, c.Body.Kind, c.Body.ContentType, c.Expect.Classes = V2HTTP, "http://x", JSON, "a/b", map[string]string{"a": "1"}
		}, []string{"url", "body", "content-type", "expect"}},
		{"another protocol", func(c *Config) { c.Protocol = "v3" }, []string{"protocol"}},
	} {
		c := Default()
		test.change(&c)
		err := config.Check(c)
		if (err == nil) != (test.want == nil) || err != nil && strings.Count(err.Error(), "\n") > len(test.want) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, key := range test.want {
			if !strings.Contains(err.Error(), key+": ") {
				t.Errorf("%s: %q is not in %v", test.name, key, err)
			}
		}
	}
}
