package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/inference"
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func images(parameters string, texts ...string) string {
	var list []string
	for _, text := range texts {
		list = append(list, fmt.Sprintf(`{"b64":%q}`, b64(text)))
	}
	if parameters != "" {
		parameters = `,"parameters":` + parameters
	}
	return `{"images":[` + strings.Join(list, ",") + `]` + parameters + `}`
}

// parts is a multipart body of name=value pairs, and its content type.
func parts(pairs ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		_ = w.WriteField(name, value)
	}
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func labels(got result) (list []string) {
	for _, p := range got.Predictions {
		switch {
		case p.Error != "":
			list = append(list, "error:"+string(p.Code))
		case len(p.Boxes) > 0:
			list = append(list, p.Boxes[0].Label)
		default:
			list = append(list, p.Top[0].Label)
		}
	}
	return list
}

func TestGoodRequests(t *testing.T) {
	s := open(t)
	form, formBody := parts("image=one", "top_k=3", "image=two")
	boundary := strings.Repeat("x", maxBoundary)
	for name, test := range map[string]struct {
		path, contentType, body string
		want                    []string
		top                     int
	}{
		"an image by its own type":                   {"/v1/models/cats/predict", "image/jpeg", "pixels", []string{"pixels"}, 1},
		"an image of an uncommon type":               {"/v1/models/cats/predict", "image/x-anything", "pixels", []string{"pixels"}, 1},
		"an image as plain bytes":                    {"/v1/models/cats/predict", "application/octet-stream", "pixels", []string{"pixels"}, 1},
		"a content type with a parameter":            {"/v1/models/cats/predict", "image/png; charset=binary", "pixels", []string{"pixels"}, 1},
		"the default model":                          {"/predict", "image/jpeg", "pixels", []string{"pixels"}, 1},
		"a version":                                  {"/v1/models/cats/versions/1/predict", "image/jpeg", "pixels", []string{"pixels"}, 1},
		"a parameter in the query":                   {"/predict?top_k=4", "image/jpeg", "pixels", []string{"pixels"}, 4},
		"the lowest thresholds":                      {"/v1/models/boxes/predict?score_threshold=0&iou_threshold=0", "image/jpeg", "pixels", []string{"pixels"}, 0},
		"the largest top_k":                          {"/predict?top_k=1000", "image/jpeg", "pixels", []string{"pixels"}, 1000},
		"a whole number written with a fraction":     {"/predict?top_k=4.0", "image/jpeg", "pixels", []string{"pixels"}, 4},
		"boxes":                                      {"/v1/models/boxes/predict?score_threshold=0.5&iou_threshold=1", "image/jpeg", "pixels", []string{"pixels"}, 0},
		"parts with a parameter between images":      {"/predict", form, formBody, []string{"one", "two"}, 3},
		"parts with a boundary of 70 characters":     {"/predict", "multipart/form-data; boundary=" + boundary, "--" + boundary + "\r\nContent-Disposition: form-data; name=image\r\n\r\none\r\n--" + boundary + "--", []string{"one"}, 1},
		"JSON of one image":                          {"/predict", "application/json", images("", "one"), []string{"one"}, 1},
		"JSON of several images":                     {"/predict", "application/json; charset=utf-8", images(`{"top_k":2,"iou_threshold":0.5}`, "one", "two", "three"), []string{"one", "two", "three"}, 2},
		"JSON with parameters first and white space": {"/predict", "application/json", " { \"parameters\" : {} , \"images\" : [ {\"b64\": \"b25l\"} ] } \n", []string{"one"}, 1},
		"base64 without padding":                     {"/predict", "application/json", `{"images":[{"b64":"` + strings.TrimRight(b64("four"), "=") + `"}]}`, []string{"four"}, 1},
		"base64 as a data: URL":                      {"/predict", "application/json", `{"images":[{"b64":"data:image/jpeg;base64,` + b64("four") + `"}]}`, []string{"four"}, 1},
		"base64 for URLs":                            {"/predict", "application/json", `{"images":[{"b64":"Pz8_Pj4-"}]}`, []string{"???>>>"}, 1},
		"base64 in lines, as base64(1) writes it":    {"/predict", "application/json", `{"images":[{"b64":"Zm\n91\r\ncg==\n"}]}`, []string{"four"}, 1},
		"base64 with an escaped slash":               {"/predict", "application/json", `{"images":[{"b64":"` + strings.ReplaceAll(b64("???>>>"), "/", `\/`) + `"}]}`, []string{"???>>>"}, 1},
		"field names with escapes":                   {"/predict", "application/json", `{"\u0069mages":[{"b\u00364" : "b25l"}],"parameters":{"top\u005fk" : 2 }}`, []string{"one"}, 2},
		"several, one of them bad":                   {"/predict", "application/json", images("", "one", "truncated", "three", ""), []string{"one", "error:undecodable", "three", "error:malformed"}, 1},
		"an image of S3's type":                      {"/predict", "binary/octet-stream", "\xff\xd8\xffpixels", []string{"\ufffd\ufffd\ufffdpixels"}, 1},
		"an image of a form's type, as curl's":       {"/predict", "application/x-www-form-urlencoded", "BM" + strings.Repeat("x", 20), []string{"BM" + strings.Repeat("x", 20)}, 1},
		"an image without a type":                    {"/predict", "", "GIF89a pixels", []string{"GIF89a pixels"}, 1},
		"a large image without a type":               {"/predict", "", "GIF89a" + strings.Repeat("x", 1<<20), []string{"GIF89a" + strings.Repeat("x", 1<<20)}, 1},
		"JSON without a type":                        {"/predict", "", "\ufeff \n" + images("", "one", "two"), []string{"one", "two"}, 1},
		"JSON after a byte order mark":               {"/predict", "application/json", "\ufeff" + images("", "one"), []string{"one"}, 1},
		"a large image":                              {"/predict", "image/jpeg", strings.Repeat("x", 1<<20), []string{strings.Repeat("x", 1<<20)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			got := s.post(test.path, test.contentType, test.body)
			if got.Status != http.StatusOK || !slices.Equal(labels(got), test.want) {
				t.Fatalf("%d %.300s", got.Status, got.Body)
			}
			if test.top > 0 && len(got.Predictions[0].Top) != test.top {
				t.Errorf("%d classes, want %d", len(got.Predictions[0].Top), test.top)
			}
		})
	}
}

func TestResponseBody(t *testing.T) {
	got := open(t).post("/v1/models/cats/predict", "image/jpeg", "pixels")
	begin := `{"model":"cats","version":"1","device":"cpu","predictions":[{"top":[{"class":0,"label":"pixels","score":0.5}]}],` +
		`"timing":{"queue":1,"decode":2.5,"preprocess":0,"infer":3,"postprocess":0,"total":`
	if !strings.HasPrefix(string(got.Body), begin) {
		t.Errorf("got %s\nwant %s…", got.Body, begin)
	}
}

func TestTimingIsOfTheSlowestImage(t *testing.T) {
	const ms = time.Millisecond
	a := inference.Timing{Queue: 1 * ms, Decode: 20 * ms, Preprocess: 3 * ms, Infer: 40 * ms, Postprocess: 5 * ms}
	b := inference.Timing{Queue: 10 * ms, Decode: 2 * ms, Preprocess: 30 * ms, Infer: 4 * ms, Postprocess: 50 * ms}
	for _, order := range [][]inference.Timing{{a, b}, {b, a}} {
		var got timing
		for _, t := range order {
			got.merge(t)
		}
		if want := (timing{Queue: 10, Decode: 20, Preprocess: 30, Infer: 40, Postprocess: 50}); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestBodyOfUnknownLength(t *testing.T) {
	s := open(t)
	r := s.request("POST", "/predict", "image/jpeg", struct{ *strings.Reader }{strings.NewReader("chunked image")})
	r.ContentLength = -1
	if got := s.do(r); got.Status != 200 || labels(got)[0] != "chunked image" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestExpectContinue(t *testing.T) {
	s := open(t)
	r := s.request("POST", "/predict", "image/jpeg", strings.NewReader("expected image"))
	r.Header.Set("Expect", "100-continue")
	if got := s.do(r); got.Status != 200 || labels(got)[0] != "expected image" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// unsent fails the test when it is read.
type unsent struct{ t *testing.T }

func (u unsent) Read([]byte) (int, error) {
	u.t.Error("the body was requested")
	return 0, fmt.Errorf("unsent")
}

func TestRefusedBodyIsNotRequested(t *testing.T) {
	s := open(t)
	for path, want := range map[string]int{"/v1/models/none/predict": 404, "/predict": 413} {
		r := s.request("POST", path, "image/jpeg", unsent{t})
		r.ContentLength = int64(Defaults().MaxImageBytes) + 1
		r.Header.Set("Expect", "100-continue")
		if got := s.do(r); got.Status != want {
			t.Errorf("%s: %d %s, want %d", path, got.Status, got.Body, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		given string
		kept  bool
	}{
		"sane":                {"0190-abc_DEF.9:~=+/@", true},
		"of 128 characters":   {strings.Repeat("x", 128), true},
		"of 129 characters":   {strings.Repeat("x", 129), false},
		"with a space":        {"a b", false},
		"with a quotation":    {`a"b`, false},
		"with a high byte":    {"a\xffb", false},
		"empty":               {"", false},
		"meant for a log":     {"x msg=forged", false},
		"meant for a browser": {"<script>", false},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			r := s.request("GET", "/v1/models/none", "", nil)
			r.Header.Set("X-Request-ID", test.given)
			got := s.do(r)
			id := got.Header.Get("X-Request-ID")
			if (id == test.given) != test.kept || len(id) < 16 && !test.kept {
				t.Errorf("given %q, got %q", test.given, id)
			}
			if got.ID != id || !strings.Contains(s.log.String(), fmt.Sprintf(`"request_id":%q`, id)) {
				t.Errorf("id %q is not in the error (%q) or not in the log", id, got.ID)
			}
		})
	}
}

func TestNoProxyIsTrusted(t *testing.T) {
	s := open(t)
	r := s.request("GET", "/v1/models/none", "", nil)
	for _, header := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded"} {
		r.Header.Set(header, "203.0.113.7")
	}
	s.do(r)
	if log := s.log.String(); strings.Contains(log, "203.0.113.7") || !strings.Contains(log, `"client":"127.0.0.1"`) {
		t.Errorf("log %s", log)
	}
}
