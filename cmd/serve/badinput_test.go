package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// asPNG re-encodes a JPEG as PNG.
func asPNG(t *testing.T, data []byte) []byte {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hugePNG is a tiny PNG whose header claims 30000×30000 pixels.
func hugePNG() []byte {
	chunk := func(kind string, data []byte) []byte {
		out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		out = append(append(out, kind...), data...)
		return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
	}
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 30000), 30000)
	img := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(size, 8, 2, 0, 0, 0))...)
	return append(append(img, chunk("IDAT", nil)...), chunk("IEND", nil)...)
}

func form(images ...[]byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, img := range images {
		part, _ := w.CreateFormFile("image", fmt.Sprint(i)) // a bytes.Buffer takes everything
		_, _ = part.Write(img)
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func TestBadInputIsRefusedWithAReason(t *testing.T) {
	p := start(t, newRepository(t), "--http.body_timeout=3s").waitReady()
	coffee := testenv.Image(t, "coffee.jpg")
	noise := make([]byte, 5000)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	pngCoffee := asPNG(t, coffee)
	halfBad, halfBadBody := form(coffee, coffee[:len(coffee)/2])
	many := make([][]byte, 10000)
	manyType, manyBody := form(many...)
	b64 := base64.StdEncoding.EncodeToString(coffee)
	const path = "/v1/models/" + model + "/predict"
	for name, test := range map[string]struct {
		path, contentType string
		body              []byte
		want              int
		code              string
		says              string
	}{
		"empty body":               {path, "image/jpeg", nil, 400, "malformed", "the body is empty; send one image as image/*"},
		"one byte":                 {path, "image/jpeg", []byte{0xff}, 415, "unsupported_format", "JPEG"},
		"random bytes":             {path, "image/jpeg", noise, 415, "unsupported_format", "JPEG"},
		"a truncated JPEG":         {path, "image/jpeg", coffee[:len(coffee)/2], 422, "undecodable", ""},
		"a JPEG without its end":   {path, "image/jpeg", coffee[:len(coffee)-20], 422, "undecodable", "JPEG is truncated"},
		"a JPEG's first bytes":     {path, "image/jpeg", coffee[:20], 422, "undecodable", ""},
		"a truncated PNG":          {path, "image/png", pngCoffee[:len(pngCoffee)/2], 422, "undecodable", ""},
		"a PNG of 30000×30000":     {path, "image/png", hugePNG(), 413, "image_too_large", "30000×30000"},
		"a body of 17 MiB":         {path, "image/jpeg", make([]byte, 17<<20), 413, "body_too_large", "16777216 bytes"},
		"wrong content type":       {path, "text/plain", coffee, 415, "unsupported_media", "send one image as image/*"},
		"bad base64":               {path, "application/json", []byte(`{"images":[{"b64":"!` + b64 + `"}]}`), 400, "malformed", "images[0].b64 is not base64"},
		"unknown model":            {"/v1/models/none/predict", "image/jpeg", coffee, 404, "model_not_found", "not found; available: "},
		"unknown version":          {"/v1/models/" + model + "/versions/7/predict", "image/jpeg", coffee, 404, "model_not_found", "available: 1"},
		"a path trick":             {"/v1/models/..%2f..%2fetc%2fpasswd/predict", "image/jpeg", coffee, 404, "model_not_found", `"../../etc/passwd"`},
		"a path trick with dots":   {"/v1/models/../predict", "image/jpeg", coffee, 404, "model_not_found", `".."`},
		"a path trick with a NUL":  {"/v1/models/" + model + "%00.onnx/predict", "image/jpeg", coffee, 404, "model_not_found", `\x00`},
		"a path trick into a file": {"/v1/models/" + model + "%2f1/predict", "image/jpeg", coffee, 404, "model_not_found", "/1"},
		"a version's path trick":   {"/v1/models/" + model + "/versions/%2e%2e/predict", "image/jpeg", coffee, 404, "model_not_found", `".."`},
		"a very long model name":   {"/v1/models/" + strings.Repeat("x", 60000) + "/predict", "image/jpeg", coffee, 404, "model_not_found", ""},
		"10,000 parts":             {path, manyType, manyBody, 400, "malformed", "more than 64 images"},
		"all images bad":           {path, "application/json", []byte(`{"images":[{"b64":""},{"b64":"AAAA"}]}`), 422, "all_failed", "none of the 2"},
		"one of two images is bad": {path, halfBad, halfBadBody, 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p.t = t
			got := p.post(test.path, test.contentType, test.body)
			if got.status != test.want || got.Code != test.code || !strings.Contains(got.Error, test.says) || test.want != 200 && len(got.Error) < 15 {
				t.Errorf("%d %.400s", got.status, got.body)
			}
			if test.want == 200 && (got.Predictions[0].Top[0].Label != "espresso" || got.Predictions[1].Code != "undecodable") {
				t.Errorf("%s", got.body)
			}
			p.good()
		})
	}
	t.Run("a gzip bomb as content encoding", func(t *testing.T) {
		p.t = t
		header := http.Header{"Content-Type": {"image/jpeg"}, "Content-Encoding": {"gzip"}}
		got, err := p.do("POST", path, header, bytes.NewReader(zipped(make([]byte, 1<<28))))
		if err != nil || got.status != 415 || !strings.Contains(got.Error, "send the body without one") {
			t.Errorf("%v, %d %s", err, got.status, got.body)
		}
		p.good()
	})
	t.Run("a slow body", func(t *testing.T) {
		p.t = t
		conn := p.half(path, coffee)
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "did not arrive within 3s") {
			t.Errorf("%v %s", err, answer)
		}
		p.good()
	})
	t.Run("a client gone halfway", func(t *testing.T) {
		p.t = t
		for range 20 {
			_ = p.half(path, coffee).Close()
		}
		p.wait("nothing is in flight", func() bool {
			metrics := p.get("/metrics").body
			return strings.Contains(metrics, "fovea_requests_in_flight 0") && strings.Contains(metrics, "fovea_body_bytes_in_flight 0")
		})
		p.good()
	})
}

// half sends the first half of a prediction request.
func (p *process) half(path string, body []byte) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", path, len(body))
	if _, err := conn.Write(body[:len(body)/2]); err != nil {
		p.t.Fatal(err)
	}
	return conn
}
