package api

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"fovea/api/v2http"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	v2 "fovea/internal/v2"

	"github.com/gin-gonic/gin"
)

// v2Infer handles POST /v2/models/{model}[/versions/{version}]/infer.
func (s *Server) v2Infer(c *gin.Context, rc *requestContext) {
	rc.predict = true
	version, ok := s.v2Version(c, rc)
	if !ok {
		return
	}
	name := c.Param("model")
	rc.model, _ = s.v2.Exists(name)
	limit, err := s.v2.BodyLimit(c.Request.Context(), name, version)
	if err != nil {
		s.reject(c, rc, err)
		return
	}
	b, err := s.open(c, rc, limit)
	if err != nil {
		s.reject(c, rc, err)
		return
	}
	defer b.close() // also after a panic
	response, err := s.v2Answer(c, rc, b, name, version)
	rc.bytes = b.read
	if err != nil || response.Size() < v2.LargeResponse {
		b.close() // before the response, as in predict
	}
	if err != nil {
		s.fail(c, rc, s.bodyError(err, b))
		return
	}
	writeV2(c, response)
}

// v2Answer reads the body and answers the request. It counts errors that the engine does not count.
func (s *Server) v2Answer(c *gin.Context, rc *requestContext, b *body, name, version string) (*v2http.Response, error) {
	text, err := s.v2Read(c.Request, b)
	if err != nil {
		s.metrics.Rejected(rc.model, string(apierror.From(s.bodyError(err, b)).Code))
		return nil, err
	}
	b.reservation.arrived()
	free := sync.OnceFunc(func() { putBuffer(text) })
	defer free()
	request, err := v2http.Parse(text, c.Request.Header.Values(v2http.HeaderLength), b.grow)
	if err != nil {
		s.metrics.Rejected(rc.model, string(apierror.From(err).Code))
		return nil, err
	}
	request.Model, request.Version, request.Waited = name, version, b.waited
	request.Client, request.ClientShare = rc.client.ID, s.cfg.ClientShare
	request.Grow = b.grow
	request.Decoded = func() {
		free()
		b.reservation.release()
	}
	answer, err := s.v2.Infer(c.Request.Context(), &request.Request)
	if err != nil {
		if !request.Accepted {
			s.metrics.Rejected(rc.model, string(apierror.From(err).Code))
		}
		s.metrics.countRows(rc.model, 1, string(apierror.From(err).Code))
		return nil, err
	}
	rc.version, rc.images = answer.Version, answer.Rows
	s.metrics.countRows(rc.model, answer.Rows, "ok")
	return request.Write(answer)
}

// v2Read reads a body, decompressed, into a pooled buffer.
func (s *Server) v2Read(r *http.Request, b *body) ([]byte, error) {
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")))
	var reader io.Reader
	var err error
	switch encoding {
	case "", "identity":
		return readAll(b, int(max(b.length, initialSize)))
	case "gzip":
		reader, err = gzip.NewReader(b)
	case "deflate":
		reader, err = zlib.NewReader(b)
	default:
		return nil, apierror.New(apierror.UnsupportedMedia, "content encoding %s is not supported; allowed: gzip, and deflate in the format of zlib", apierror.Quote(encoding))
	}
	var text []byte
	if err == nil {
		text, err = readAll(&inflated{reader, b, 0}, initialSize)
	}
	if err != nil && !isTransportError(err) && !isAPIError(err) || errors.Is(err, io.ErrUnexpectedEOF) && b.admitted.Arrived() {
		return nil, apierror.New(apierror.Malformed, "the body is not %s: %v", map[string]string{"gzip": "gzip", "deflate": "deflate in the format of zlib"}[encoding], err)
	}
	return text, err
}

func isAPIError(err error) bool {
	_, ok := errors.AsType[*apierror.Error](err)
	return ok
}

// inflated is a decompressed body. Its bytes count as the body's, and have the same limit.
type inflated struct {
	reader io.Reader
	body   *body
	read   int64
}

// Read implements io.Reader.
func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.reader.Read(p)
	if i.read += int64(n); i.read > i.body.limit {
		return n, apierror.New(apierror.BodyTooLarge, "the decompressed body is larger than the limit of %d bytes", i.body.limit)
	}
	if n > 0 {
		if refused := i.body.grow(int64(n)); refused != nil {
			return n, refused
		}
	}
	return n, err
}

// grow counts bytes that the request takes in memory besides those that were received.
func (b *body) grow(n int64) error {
	if err := b.admitted.Grow(n); err != nil {
		return admission.APIError(err, "body", b.read, b.server.cfg.BodyTimeout)
	}
	return nil
}

// writeV2 writes a response, compressed if the client asks for it.
func writeV2(c *gin.Context, response *v2http.Response) {
	h := c.Writer.Header()
	h.Set("Content-Type", "application/json")
	if response.Binary() {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(v2http.HeaderLength, strconv.Itoa(len(response.Header)))
	}
	h.Add("Vary", "Accept-Encoding") // next to Origin
	encoding := acceptedEncoding(c.Request.Header.Values("Accept-Encoding"))
	var to io.Writer = c.Writer
	switch encoding {
	case "gzip":
		z, _ := gzipWriters.Get().(*gzip.Writer) // never another type
		z.Reset(c.Writer)
		defer gzipWriters.Put(z)
		defer z.Close()
		to = z
	case "deflate":
		z, _ := zlibWriters.Get().(*zlib.Writer)
		z.Reset(c.Writer)
		defer zlibWriters.Put(z)
		defer z.Close()
		to = z
	default:
		h.Set("Content-Length", strconv.Itoa(response.Size()))
		httpserver.Together(c.Request, response.Size())
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	c.Status(http.StatusOK)
	_, err := to.Write(response.Header)
	for _, t := range response.Tensors {
		if err != nil {
			return // the client has disconnected
		}
		_, err = to.Write(t)
	}
}

var (
	gzipWriters = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }} // the level is valid
	zlibWriters = sync.Pool{New: func() any { z, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed); return z }}
)

// acceptedEncoding is the first of gzip and deflate that a client names without refusing it.
func acceptedEncoding(accept []string) string {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, quality, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		q, weighted := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(quality), " ", ""), "q=")
		if n, err := strconv.ParseFloat(q, 64); weighted && (err != nil || n <= 0) {
			continue
		}
		if name == "gzip" || name == "deflate" {
			return name
		}
	}
	return ""
}
