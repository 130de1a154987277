package api

import (
	"cmp"
	"errors"
	"io"
	"mime/multipart"
	"regexp"
	"slices"
	"strings"

	"fovea/internal/apierror"
)

const (
	imageField     = "image"
	maxPartHeaders = 16
	maxParameter   = maxClassesText // bytes of a parameter's value in a part
	maxBoundary    = 70             // characters, RFC 2046
	allowedFields  = "send images as parts named " + imageField + ", or their addresses as " + urlField
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

// readParts reads every part. Their number is bounded, since there is a limit of images, each parameter may come once,
// and classes has a limit.
func (s *Server) readParts(r *multipart.Reader, b *body, in *submission) error {
	for {
		part, err := r.NextRawPart()
		if err == nil {
			err = s.readPart(part, b, in)
		} else if errors.Is(err, io.EOF) {
			// What follows the last boundary is discarded while the body has a deadline: net/http would wait for it without
			// one, and until all is read it does not notice that the client has disconnected.
			if _, err = io.Copy(io.Discard, b); err == nil {
				return nil
			}
		}
		if err != nil {
			return multipartError(err)
		}
	}
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
		return apierror.New(apierror.UnsupportedMedia, "content transfer encoding %s is not supported; allowed: %s", apierror.Quote(e), strings.Join(transferAllowed, " "))
	}
	name := partName(part)
	if name == "" {
		return apierror.New(apierror.InvalidParameter, "a part has no readable name in its Content-Disposition %s; %s",
			apierror.Quote(part.Header.Get("Content-Disposition")), allowedFields)
	}
	if name == imageField {
		if err := s.checkImageCount(in); err != nil {
			return err
		}
		return s.addImage(part, b, in)
	}
	if _, ok := setters[name]; !ok && name != urlField {
		return apierror.New(apierror.InvalidParameter, "unknown part %s; %s, and parameters as %s", apierror.Quote(name), allowedFields, parameterNames())
	}
	text, err := io.ReadAll(io.LimitReader(part, maxParameter+1))
	if err != nil {
		return err
	}
	if name == urlField {
		return s.addURL(strings.TrimSpace(string(text)), in)
	}
	return in.params.set(name, strings.TrimSpace(string(text)))
}

// multipartError is Malformed unless err is about the transport: package multipart returns io.ErrUnexpectedEOF also if the
// last boundary is missing, and either way the body ends unexpectedly.
func multipartError(err error) error {
	if _, ok := errors.AsType[*apierror.Error](err); ok || isTransportError(err) {
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

// parameter matches one parameter of a header: its name, and its value in quotation marks or up to the next semicolon. In
// quotation marks, a backslash escapes one of them or a backslash; elsewhere it is itself, as in Windows paths.
var parameter = regexp.MustCompile(`([^=;]*)(?:=[ \t]*(?:"((?s:[^"\\]|\\.)*)"[^;]*|([^;]*)))?(?:;|$)`)

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// dispositionName returns the parameter name of a form-data disposition, quoted or not; "" if there is none, or several that
// differ.
func dispositionName(text string) (found string) {
	kind, rest, _ := strings.Cut(text, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return ""
	}
	for _, p := range parameter.FindAllStringSubmatch(rest, -1) {
		value := cmp.Or(unescape.Replace(p[2]), strings.TrimSpace(p[3]))
		if !strings.EqualFold(strings.TrimSpace(p[1]), "name") || value == "" {
			continue
		}
		if found != "" && found != value {
			return ""
		}
		found = value
	}
	return found
}
