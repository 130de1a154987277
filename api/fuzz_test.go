package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/internal/requestid"
)

const fuzzed = 1 << 16 // bytes of an input

// reader returns a server that only reads bodies, and a body of data.
func reader(data []byte) (*Server, *body) {
	cfg := Defaults()
	cfg.MaxImageBytes, cfg.MaxBodyBytes, cfg.MaxImages = 1<<12, fuzzed, 4
	cfg.MaxRequests, cfg.BodyBudget = 1, fuzzed
	s := &Server{cfg: cfg, log: slog.New(slog.DiscardHandler), admission: admission.New(cfg.limits()), readAhead: newReadAhead(fuzzed)}
	admitted, err := s.admission.Admit("", bytes.NewReader(data), int64(len(data)), time.Hour, conn{}, nil)
	if err != nil {
		panic(err)
	}
	return s, &body{arrived: func() int { return 0 }, admitted: admitted, server: s, ctx: context.Background(), length: int64(len(data)), limit: int64(cfg.MaxBodyBytes), reservation: s.readAhead.reserve()}
}

// judge checks what holds for every body: bounds, and that errors are the client's.
func judge(t *testing.T, s *Server, b *body, in *submission, err error) {
	t.Helper()
	if len(in.images) > s.cfg.MaxImages {
		t.Errorf("%d images", len(in.images))
	}
	for i, p := range in.images {
		if int64(len(p)) > int64(s.cfg.MaxImageBytes) {
			t.Errorf("image %d has %d bytes", i, len(p))
		}
	}
	if p := in.params.values; p.TopK < 0 || p.TopK > repository.MaxTopK || p.Score != nil && !(*p.Score >= 0 && *p.Score <= 1) && err == nil {
		t.Errorf("parameters %+v", p)
	}
	if err != nil {
		var apiErr *apierror.Error
		if err = s.bodyError(err, b); !errors.As(err, &apiErr) || apiErr.Message == "" || apiErr.Code.Status() < 400 || apiErr.Code.Status() >= 499 {
			t.Errorf("the error is %#v", err)
		}
	}
	b.close()
	if n := s.admission.Bytes(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

func FuzzJSONBody(f *testing.F) {
	for _, seed := range []string{
		images("", "one"), images(`{"top_k":5,"score_threshold":0.5}`, "one", "two"), `{}`, `{"images":[{}]}`, `[`, `{"images":[[[`,
		`{"images":[{"b64":"data:image/png;base64,b25l"}]}`, `{"images":[{"b64":"b25l\u0000"}]}`, `{"images":[{"b64":"-_-_\n-_=\n"}]}`, `{"parameters":{"top_k":1e99}}`,
		images(`{"tile":"640x480","overlap":0.5,"merge":"nms","whole_image":false}`, "one"), `{"parameters":{"tile":{}}}`,
		`{"images":[{"b64":"b25l"}],"images":[]}`, "\xff", `{"images":null}`, `{"images":[{"b64":"b25l"},]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzed {
			t.Skip()
		}
		s, b := reader(data)
		in := &submission{}
		err := readJSON(s, b, in)
		judge(t, s, b, in, err)
		if err != nil {
			return
		}
		var want struct { // what the standard library reads in the same bytes
			Images []struct {
				B64 string `json:"b64"`
			} `json:"images"`
		}
		if err := json.Unmarshal(data, &want); err != nil || len(want.Images) != len(in.images) {
			t.Fatalf("taken, but %v; %d images for %d", err, len(in.images), len(want.Images))
		}
		for i, image := range want.Images {
			text := image.B64
			if strings.HasPrefix(text, "data:") {
				_, text, _ = strings.Cut(text, ";base64,")
			}
			text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "=\r\n"))
			img, err := base64.RawStdEncoding.DecodeString(text)
			if err != nil || !bytes.Equal(img, in.images[i]) {
				t.Errorf("image %d is %q, want %q, %v", i, in.images[i], img, err)
			}
		}
	})
}

func FuzzMultipartBody(f *testing.F) {
	for _, pairs := range [][]string{{"image=one"}, {"image=one", "top_k=5", "image=two"}, {"top_k=5"}, {"x=y"}, {"image=" + strings.Repeat("x", 5000)}} {
		contentType, body := parts(pairs...)
		_, params, _ := mime.ParseMediaType(contentType)
		f.Add(params["boundary"], []byte(body))
	}
	f.Add("x", []byte("--x\r\nContent-Disposition: form-data; name=image\r\n\r\n\r\n--x--"))
	f.Add("x", []byte("--x\r\nContent-Disposition: form-data; name=image\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=00\r\n--x--"))
	f.Fuzz(func(t *testing.T, boundary string, data []byte) {
		if len(data) > fuzzed {
			t.Skip()
		}
		s, b := reader(data)
		form, err := multipartFormat(int64(s.cfg.MaxBodyBytes), boundary)
		if err != nil {
			b.close()
			return
		}
		in := &submission{}
		err = form.read(s, b, in)
		judge(t, s, b, in, err)
		if err != nil {
			return
		}
		whole, err := multipart.NewReader(bytes.NewReader(data), boundary).ReadForm(1 << 20)
		if err != nil {
			return // the standard library reads some encodings of parts that are taken as they are here
		}
		defer whole.RemoveAll() //nolint:errcheck // nothing is on disk
		if n := len(whole.Value[imageField]) + len(whole.File[imageField]); n != len(in.images) {
			t.Errorf("%d images, the standard library reads %d", len(in.images), n)
		}
	})
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"top_k=5", "top_k=5&score_threshold=0.5", "iou_threshold=1e-3", "top_k=%zz", "top_k=5;x", "top_k=NaN", "top_k=5.0", "x", "tile=640&overlap=0.2", "tile=1x9&whole_image=1",
		"merge_threshold=1&merge=nms", "merge_metric=ios&overlap=-0"} {
		f.Add(seed, "")
	}
	f.Add("", "a-sane.id")
	f.Add("", "not sane")
	f.Fuzz(func(t *testing.T, query, id string) {
		if len(query)+len(id) > fuzzed {
			t.Skip()
		}
		var p params
		if err := p.query(query); err != nil {
			var apiErr *apierror.Error
			if !errors.As(err, &apiErr) || apiErr.Code != apierror.InvalidParameter || len(apiErr.Message) > 1000 {
				t.Errorf("%v", err)
			}
		} else if v := p.values; v.TopK < 0 || v.TopK > repository.MaxTopK || v.Score != nil && !(*v.Score >= 0 && *v.Score <= 1) || v.IoU != nil && !(*v.IoU >= 0 && *v.IoU <= 1) {
			t.Errorf("%q gives %+v", query, v)
		} else if v := p.tiles; v.Overlap != nil && !(*v.Overlap >= 0 && *v.Overlap < 1) || v.Threshold != nil && !(*v.Threshold > 0 && *v.Threshold <= 1) {
			t.Errorf("%q gives %+v", query, v)
		}
		got := requestid.Of(id)
		if len(got) < 1 || len(got) > 128 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
			t.Errorf("%q becomes id %q", id, got)
		}
	})
}
