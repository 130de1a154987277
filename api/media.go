package api

import (
	"bytes"
	"mime"
	"net/http"
	"strings"

	"fovea/internal/apierror"
	"fovea/preprocess/header"
)

// genericTypes are the content types that clients send by default, and so say nothing about a body. curl sends the form's, S3
// tools binary/octet-stream, many clients none.
var genericTypes = map[string]bool{"": true, "binary/octet-stream": true, "application/x-www-form-urlencoded": true}

// sniffBytes is how many bytes of a body of such a type are checked.
const sniffBytes = 32

// byteOrderMark is written by some editors and Windows programs. RFC 8259 allows parsers of JSON to ignore it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// bodyFormat selects the format by the content type, or refuses the request.
func (s *Server) bodyFormat(r *http.Request) (bodyFormat, error) {
	if e := strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")); e != "" && !strings.EqualFold(e, "identity") {
		return bodyFormat{}, apierror.New(apierror.UnsupportedMedia, "content encoding %s is not supported; send the body without one", apierror.Quote(e))
	}
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if given == "" {
		media, err = "", nil
	}
	switch {
	case err != nil:
	case strings.HasPrefix(media, "image/"), media == "application/octet-stream":
		return bodyFormat{int64(s.cfg.MaxImageBytes), readImage}, nil
	case genericTypes[media]:
		return bodyFormat{int64(max(s.cfg.MaxImageBytes, s.cfg.MaxBodyBytes)), readSniffed(given)}, nil
	case media == "application/json":
		return bodyFormat{int64(s.cfg.MaxBodyBytes), readJSON}, nil
	case media == "multipart/form-data":
		return multipartFormat(int64(s.cfg.MaxBodyBytes), params["boundary"])
	}
	return bodyFormat{}, apierror.New(apierror.UnsupportedMedia, "content type %s is not supported; %s", apierror.Quote(given), allowedMedia)
}

// readSniffed reads a body of a generic content type. Its first bytes decide the format.
func readSniffed(given string) func(s *Server, b *body, in *submission) error {
	return func(s *Server, b *body, in *submission) error {
		first, err := b.peek(sniffBytes)
		if err != nil {
			return err
		}
		read, limit := readImage, int64(s.cfg.MaxImageBytes)
		switch text := bytes.TrimLeft(bytes.TrimPrefix(first, byteOrderMark), " \t\r\n"); {
		case len(first) == 0, header.IsKnown(first):
		case len(text) > 0 && text[0] == '{':
			read, limit = readJSON, int64(s.cfg.MaxBodyBytes)
		case given == "":
			return apierror.New(apierror.UnsupportedMedia, "the content type is missing, and the body is not a known image format; %s", allowedMedia)
		default:
			return apierror.New(apierror.UnsupportedMedia, "content type %s is generic, and the body is not a known image format; %s", apierror.Quote(given), allowedMedia)
		}
		if b.limit = limit; b.length > limit || b.read > limit {
			return tooLarge(limit)
		}
		return read(s, b, in)
	}
}
