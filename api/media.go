package api

import (
	"bytes"
	"mime"
	"net/http"
	"strings"

	"fovea/internal/apierror"
	"fovea/preprocess/header"
)

// guessed are the content types that say nothing about a body: clients send them by default. curl sends
// the form's, S3's tools binary/octet-stream, many none at all.
var guessed = map[string]bool{"": true, "binary/octet-stream": true, "application/x-www-form-urlencoded": true}

// sniffed is how much of a body of such a type is looked at, in bytes.
const sniffed = 32

// byteOrderMark is what some editors and Windows programs begin UTF-8 with. RFC 8259 lets a reader of JSON pass over it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// form picks the form by the content type, or refuses the request.
func (s *Server) form(r *http.Request) (form, error) {
	if e := strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")); e != "" && !strings.EqualFold(e, "identity") {
		return form{}, apierror.New(apierror.UnsupportedMedia, "content encoding %s is not read; send the body as it is", quote(e))
	}
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if given == "" {
		media, err = "", nil
	}
	switch {
	case err != nil:
	case strings.HasPrefix(media, "image/"), media == "application/octet-stream":
		return form{int64(s.cfg.MaxImageBytes), readImage}, nil
	case guessed[media]:
		return form{int64(max(s.cfg.MaxImageBytes, s.cfg.MaxBodyBytes)), readGuessed(given)}, nil
	case media == "application/json":
		return form{int64(s.cfg.MaxBodyBytes), readJSON}, nil
	case media == "multipart/form-data":
		return multipartForm(int64(s.cfg.MaxBodyBytes), params["boundary"])
	}
	return form{}, apierror.New(apierror.UnsupportedMedia, "content type %s is not read; %s", quote(given), allowedMedia)
}

// readGuessed reads a body whose content type says nothing of it: what it is, its first bytes say.
func readGuessed(given string) func(s *Server, b *body, in *submission) error {
	return func(s *Server, b *body, in *submission) error {
		first, err := b.peek(sniffed)
		if err != nil {
			return err
		}
		read, limit := readImage, int64(s.cfg.MaxImageBytes)
		switch text := bytes.TrimLeft(bytes.TrimPrefix(first, byteOrderMark), " \t\r\n"); {
		case len(first) == 0, header.Known(first):
		case len(text) > 0 && text[0] == '{':
			read, limit = readJSON, int64(s.cfg.MaxBodyBytes)
		case given == "":
			return apierror.New(apierror.UnsupportedMedia, "the content type is missing, and the body is no image that is known; %s", allowedMedia)
		default:
			return apierror.New(apierror.UnsupportedMedia, "content type %s says nothing of the body, which is no image that is known; %s", quote(given), allowedMedia)
		}
		if b.limit = limit; b.length > limit || b.read > limit {
			return tooLarge(limit)
		}
		return read(s, b, in)
	}
}
