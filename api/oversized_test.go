package api

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"fovea/internal/apierror"
)

// TestBodiesAtTheirLimits sends bodies of exactly the limit, and of a byte more, with and without a Content-Length.
func TestBodiesAtTheirLimits(t *testing.T) {
	const image, whole = 1000, 3000
	x := func(n int) string { return strings.Repeat("x", n) }
	pad := func(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }
	part := func(content string) string {
		return "--x\r\nContent-Disposition: form-data; name=image\r\n\r\n" + content + "\r\n--x--\r\n"
	}
	s := open(t, func(c *Config, _ *engine) { c.MaxImageBytes, c.MaxBodyBytes = image, whole })
	for name, test := range map[string]struct {
		contentType string
		body        func(over int) string // over: 0 or 1 bytes beyond the limit
	}{
		"image":                     {"image/jpeg", func(over int) string { return x(image + over) }},
		"image of a generic type":   {"", func(over int) string { return "\xff\xd8\xff" + x(image-3+over) }},
		"JSON":                      {"application/json", func(over int) string { return pad(images("", "one"), whole+over) }},
		"JSON of a generic type":    {"", func(over int) string { return pad(images("", "one"), whole+over) }},
		"image in JSON":             {"application/json", func(over int) string { return images("", x(image+over)) }},
		"image in a part":           {"multipart/form-data; boundary=x", func(over int) string { return part(x(image + over)) }},
		"multipart with its epilog": {"multipart/form-data; boundary=x", func(over int) string { return pad(part("image"), whole+over) }},
	} {
		for _, known := range []bool{true, false} {
			for over, want := range []int{200, 413} {
				t.Run(fmt.Sprintf("%s, length known %v, %d bytes over", name, known, over), func(t *testing.T) {
					s.t = t
					body := test.body(over)
					r := s.request("POST", "/predict", test.contentType, io.MultiReader(strings.NewReader(body)))
					if r.ContentLength = -1; known {
						r.ContentLength = int64(len(body))
					}
					if got := s.do(r); got.Status != want || want == 413 && got.Code != apierror.BodyTooLarge {
						t.Errorf("%d %s, want %d", got.Status, got.Body, want)
					}
				})
			}
		}
	}
}

// TestLimitBelowWhatIsSniffed: the first bytes of a body of a generic type, which decide its format, may be too many.
func TestLimitBelowWhatIsSniffed(t *testing.T) {
	const limit = sniffBytes - 10
	s := open(t, func(c *Config, _ *engine) { c.MaxImageBytes = limit })
	for size := int64(limit); size <= sniffBytes; size++ {
		want := 413
		if size == limit {
			want = 200
		}
		for _, length := range []int64{size, -1} {
			r := s.request("POST", "/predict", "", io.MultiReader(strings.NewReader("\xff\xd8\xff"+strings.Repeat("x", int(size)-3))))
			r.ContentLength = length
			if got := s.do(r); got.Status != want {
				t.Errorf("%d bytes, length %d: %d %s", size, length, got.Status, got.Body)
			}
		}
	}
}

// TestImageOfAGenericTypeIsRefusedByItsLength: once it is known to be an image, no more of it is read.
func TestImageOfAGenericTypeIsRefusedByItsLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		s := openOn(t, listener, listener.dial)
		conn := s.dial(fmt.Sprintf("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", Defaults().MaxImageBytes+1) +
			"\xff\xd8\xff" + strings.Repeat("x", sniffBytes))
		if status, text := s.responseOn(conn); status != 413 { // not 408
			t.Errorf("%d %s", status, text)
		}
		_ = conn.Close()
	})
}

// endless repeats a text without end, after a beginning. If more bytes than most are wanted, the rest does not come: a client that
// still writes when the server no longer reads may lose the response.
type endless struct {
	io.Reader
	text string
	sent int64
	most int64 // 0: any number
	once sync.Once
	done chan struct{} // closed by Close
}

// Close implements io.Closer, and ends the body that does not come.
func (e *endless) Close() error {
	e.once.Do(func() { close(e.done) })
	return nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.most > 0 && e.sent >= e.most {
		<-e.done
		return 0, io.EOF
	}
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		e.Reader = strings.NewReader(e.text)
		err = nil
	}
	e.sent += int64(n)
	return n, err
}

// TestBodyOfUnknownLengthBeyondItsLimit: no length is announced, and no body ends.
func TestBodyOfUnknownLengthBeyondItsLimit(t *testing.T) {
	const image, whole = 1 << 20, 4 << 20
	part := "--x\r\nContent-Disposition: form-data; name=image\r\n\r\n"
	large := strings.Repeat("x", image/2)
	forms := map[string]struct {
		contentType, beginning, rest string
		limit                        int64
		says                         string
	}{
		"an image":                        {"image/jpeg", "\xff\xd8\xff", large, image, "the body is larger than the limit of 1048576 bytes"},
		"an image without a type":         {"", "\xff\xd8\xff", large, image, "the body is larger than the limit of 1048576 bytes"},
		"JSON":                            {"application/json", `{"images":[{"b64":"`, large, whole, "the body is larger than the limit of 4194304 bytes"},
		"JSON without a type":             {"", `{"images":[{"b64":"`, large, whole, "the body is larger than the limit of 4194304 bytes"},
		"a form with one image":           {"multipart/form-data; boundary=x", part, large, image, "image 0 is larger than the limit of 1048576 bytes"},
		"a form with many images":         {"multipart/form-data; boundary=x", part + large, "\r\n" + part + large, whole, "the body is larger than the limit of 4194304 bytes"},
		"a form with an endless preamble": {"multipart/form-data; boundary=x", "", strings.Repeat("preamble\r\n", 10_000), whole, "the body is larger than the limit of 4194304 bytes"},
		"a form with an endless epilogue": {"multipart/form-data; boundary=x", part + "pixels\r\n--x--\r\n", large, whole, "the body is larger than the limit of 4194304 bytes"},
	}
	for _, http2 := range []bool{false, true} {
		s := open(t, func(c *Config, _ *engine) { c.MaxImageBytes, c.MaxBodyBytes, c.MaxImages = image, whole, 64 })
		if http2 {
			s.http2()
		}
		for name, form := range forms {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				s.t = t
				body := &endless{Reader: strings.NewReader(form.beginning), text: form.rest, most: 2 * form.limit, done: make(chan struct{})}
				r := s.request("POST", "/predict", form.contentType, body)
				r.ContentLength = -1
				got := s.do(r)
				_ = body.Close()
				if got.Status != 413 || got.Code != apierror.BodyTooLarge || !strings.Contains(got.Error, form.says) {
					t.Errorf("%d %s", got.Status, got.Body)
				}
				s.eventually("fovea_body_bytes_in_flight 0")
				s.good()
			})
		}
		s.t = t
	}
}

// TestLongParameterIsNotRead: of a parameter that never ends, only as much is read as a value may have.
func TestLongParameterIsNotRead(t *testing.T) {
	s := open(t)
	const part = "--x\r\nContent-Disposition: form-data; name=top_k\r\n\r\n"
	body := &endless{Reader: strings.NewReader(part), text: strings.Repeat("1", 1<<16), most: 1 << 20, done: make(chan struct{})}
	defer body.Close()
	r := s.request("POST", "/predict", "multipart/form-data; boundary=x", body)
	r.ContentLength = -1
	if got := s.do(r); got.Status != 400 || got.Code != apierror.InvalidParameter {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// TestRefusedBodyIsDrained: curl before version 8 loses an answer behind which its stream is reset, as one is whose body
// is left rawJSON, and with HTTP/1 the connection would be.
func TestRefusedBodyIsDrained(t *testing.T) {
	const size = 4 << 20 // more than the window of a stream
	for _, http2 := range []bool{false, true} {
		s := open(t, func(c *Config, _ *engine) { c.MaxImageBytes = 1 << 20 })
		if http2 {
			s.http2()
		}
		for contentType, status := range map[string]int{"image/jpeg": 413, "text/plain": 415} {
			body := &endless{Reader: strings.NewReader(""), text: strings.Repeat("x", 1<<16)}
			r := s.request("POST", "/predict", contentType, io.LimitReader(body, size))
			r.ContentLength = -1
			if got := s.do(r); got.Status != status || body.sent != size || got.Header.Get("Connection") != "" {
				t.Errorf("%s, HTTP/2 %v: %d after %d of %d bytes", contentType, http2, got.Status, body.sent, size)
			}
		}
	}
}
