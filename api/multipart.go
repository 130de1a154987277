package api

import (
	"errors"
	"io"
	"mime/multipart"
	"slices"
	"strings"

	"fovea/internal/apierror"
)

const (
	imageField     = "image"
	maxPartHeaders = 16
	maxParameter   = 64 // bytes of a parameter's value in a part
	maxBoundary    = 70 // characters, RFC 2046
	allowedFields  = "send images as parts named " + imageField
)

// transferAllowed are the transfer encodings that do not encode.
var transferAllowed = []string{"7bit", "8bit", "binary"}

// multipartFormat is multipart/form-data, read as a stream: only the images are kept.
func multipartFormat(limit int64, boundary string) (bodyFormat, error) {
	if boundary == "" || len(boundary) > maxBoundary {
		return bodyFormat{}, apierror.New(apierror.Malformed, "multipart/form-data needs a boundary of 1 to %d characters", maxBoundary)
	}
	return bodyFormat{limit, func(s *Server, b *body, in *submission) error {
		return s.readParts(multipart.NewReader(b, boundary), b, in)
	}}, nil
}

// readParts reads every part. Their number is bounded, since there is a limit of images and each parameter may come once.
func (s *Server) readParts(r *multipart.Reader, b *body, in *submission) error {
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return readRest(b)
		}
		if err != nil {
			return multipartError(err)
		}
		if err := s.readPart(part, b, in); err != nil {
			return multipartError(err)
		}
	}
}

// readRest discards what follows the last boundary, while the body has a deadline: net/http would wait for it without one
// before it responds, and until all is read it does not notice that the client has disconnected.
func readRest(b *body) error {
	if _, err := io.Copy(io.Discard, b); err != nil {
		return multipartError(err)
	}
	return nil
}

func (s *Server) readPart(part *multipart.Part, b *body, in *submission) error {
	headers := 0
	for _, values := range part.Header {
		headers += len(values)
	}
	if headers > maxPartHeaders {
		return apierror.New(apierror.Malformed, "a part has more than %d headers", maxPartHeaders)
	}
	if e := strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding")); e != "" && !slices.Contains(transferAllowed, strings.ToLower(e)) {
		return apierror.New(apierror.UnsupportedMedia, "content transfer encoding %s is not supported; allowed: %s", quote(e), strings.Join(transferAllowed, " "))
	}
	name := partName(part)
	if name == "" {
		return apierror.New(apierror.InvalidParameter, "a part has no readable name in its Content-Disposition %s; %s",
			quote(part.Header.Get("Content-Disposition")), allowedFields)
	}
	if name == imageField {
		if err := s.checkImageCount(in); err != nil {
			return err
		}
		return s.addImage(part, b, in)
	}
	if _, ok := setters[name]; !ok {
		return apierror.New(apierror.InvalidParameter, "unknown part %s; %s, and parameters as %s", quote(name), allowedFields, parameterNames())
	}
	text, err := io.ReadAll(io.LimitReader(part, maxParameter+1))
	if err != nil {
		return err
	}
	return in.params.set(name, strings.TrimSpace(string(text)))
}

// multipartError is Malformed unless err is about the transport: package multipart returns io.ErrUnexpectedEOF also if the
// last boundary is missing, and either way the body ends unexpectedly.
func multipartError(err error) error {
	var apiErr *apierror.Error
	if errors.As(err, &apiErr) || isTransportError(err) {
		return err
	}
	return apierror.Wrap(apierror.Malformed, err, "the body is not multipart/form-data with the boundary of its content type")
}

// partName returns the name of a part. Simple clients send invalid parameters in Content-Disposition, such as a filename with
// spaces and without quotes, for which package mime refuses the whole header; the name is used if it is unambiguous.
func partName(part *multipart.Part) string {
	if name := part.FormName(); name != "" {
		return name
	}
	return dispositionName(part.Header.Get("Content-Disposition"))
}

// dispositionName returns the parameter name of a form-data disposition, quoted or not; "" if there is none, or several that
// differ.
func dispositionName(text string) string {
	kind, rest, _ := strings.Cut(text, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return ""
	}
	found := ""
	for rest != "" {
		var key, value string
		key, value, rest = nextParameter(rest)
		if !strings.EqualFold(key, "name") || value == "" {
			continue
		}
		if found != "" && found != value {
			return ""
		}
		found = value
	}
	return found
}

// nextParameter splits a list of parameters after its first. A value that begins with a quotation mark extends to the next
// one, any other to the next semicolon.
func nextParameter(text string) (key, value, rest string) {
	end := strings.IndexAny(text, "=;")
	if end < 0 {
		return strings.TrimSpace(text), "", ""
	}
	key, rest = strings.TrimSpace(text[:end]), text[end+1:]
	if text[end] == ';' {
		return key, "", rest
	}
	rest = strings.TrimLeft(rest, " \t")
	if quoted, after, ok := cutQuoted(rest); ok {
		_, rest, _ = strings.Cut(after, ";")
		return key, quoted, rest
	}
	value, rest, _ = strings.Cut(rest, ";")
	return key, strings.TrimSpace(value), rest
}

// cutQuoted cuts a quoted value off the beginning of a text. A backslash escapes a quotation mark or a backslash; elsewhere it
// is itself, as in Windows paths.
func cutQuoted(text string) (value, after string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
