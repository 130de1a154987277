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

// transferAllowed are the encodings of parts that leave their bytes as they are.
var transferAllowed = []string{"7bit", "8bit", "binary"}

// multipartForm is multipart/form-data, read as it streams in: nothing but the images is kept.
func multipartForm(limit int64, boundary string) (form, error) {
	if boundary == "" || len(boundary) > maxBoundary {
		return form{}, apierror.New(apierror.Malformed, "multipart/form-data needs a boundary of 1 to %d characters", maxBoundary)
	}
	return form{limit, func(s *Server, b *body, in *submission) error {
		return s.readParts(multipart.NewReader(b, boundary), b, in)
	}}, nil
}

// readParts reads every part. Their number is bounded by that of images and of parameters, since each may come
// once.
func (s *Server) readParts(r *multipart.Reader, b *body, in *submission) error {
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return readRest(b)
		}
		if err != nil {
			return multipartFault(err)
		}
		if err := s.readPart(part, b, in); err != nil {
			return multipartFault(err)
		}
	}
}

// readRest reads what follows the last boundary, and throws it away, while the body still has a deadline: net/http would
// wait for it without one before it answers, and until all is read it does not tell that the client went away.
func readRest(b *body) error {
	if _, err := io.Copy(io.Discard, b); err != nil {
		return multipartFault(err)
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
		return apierror.New(apierror.UnsupportedMedia, "content transfer encoding %s is not read; allowed: %s", quote(e), strings.Join(transferAllowed, " "))
	}
	name := partName(part)
	if name == "" {
		return apierror.New(apierror.InvalidParameter, "a part has no name that can be read in its Content-Disposition %s; %s",
			quote(part.Header.Get("Content-Disposition")), allowedFields)
	}
	if name == imageField {
		if err := s.roomForImage(in); err != nil {
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

// multipartFault tells a body that was cut short or is too large from one that breaks the rules of multipart:
// package multipart says io.ErrUnexpectedEOF for a missing last boundary too, and either way it ends too early.
func multipartFault(err error) error {
	var f *apierror.Error
	if errors.As(err, &f) || isTransport(err) {
		return err
	}
	return apierror.Wrap(apierror.Malformed, err, "the body is not multipart/form-data with the boundary that its content type names")
}
