package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path/filepath"
	"slices"
)

// BodyKind is the form of request bodies.
type BodyKind string

// The kinds of bodies.
const (
	Raw       BodyKind = "raw"       // one image is the body
	Multipart BodyKind = "multipart" // multipart/form-data, one part per image
	JSON      BodyKind = "json"      // {"images":[{"b64":"…"}]}, Fovea's JSON form
	Templated BodyKind = "template"  // rendered by a text/template
)

var bodyKinds = []BodyKind{Raw, Multipart, JSON, Templated}

// jsonTemplate is Fovea's JSON form.
const jsonTemplate = `{"images":[{{range $i, $p := .Images}}{{if $i}},{{end}}{"b64":"{{$p.Base64}}"}{{end}}]}`

// BodyConfig describes request bodies.
type BodyConfig struct {
	Kind        BodyKind
	Images      int    // per request
	Field       string // name of the multipart parts
	Template    string // text of the template
	ContentType string // empty: determined by the kind
}

func (c BodyConfig) validate() error {
	var errs []error
	if !slices.Contains(bodyKinds, c.Kind) {
		errs = append(errs, fmt.Errorf("body: %q is none of %v", c.Kind, bodyKinds))
	}
	if c.Images < 1 || c.Images > 1024 {
		errs = append(errs, fmt.Errorf("images-per-request: %d is not in 1 to 1024", c.Images))
	}
	if c.Kind == Raw && c.Images > 1 {
		errs = append(errs, errors.New("images-per-request: a raw body holds one image; use body multipart, json or template"))
	}
	if c.Kind == Multipart && c.Field == "" {
		errs = append(errs, errors.New("field: multipart parts need a name"))
	}
	if (c.Kind == Templated) != (c.Template != "") {
		errs = append(errs, errors.New("template: body template needs one, and no other body takes one"))
	}
	if c.ContentType != "" {
		if _, _, err := mime.ParseMediaType(c.ContentType); err != nil {
			errs = append(errs, fmt.Errorf("content-type: %q: %w", c.ContentType, err))
		}
	}
	return errors.Join(errs...)
}

// body is a request body.
type body struct {
	data        []byte
	contentType string
	images      []int // indices of its images
}

// bodies makes one body per image: it holds the image and those that follow it.
func (c BodyConfig) bodies(images []Image) ([]body, error) {
	list := make([]body, len(images))
	total := 0
	for i := range list {
		group := make([]Image, c.Images)
		for j := range group {
			at := (i + j) % len(images)
			group[j] = images[at]
			list[i].images = append(list[i].images, at)
		}
		data, contentType, err := c.pack(group)
		if err != nil {
			return nil, fmt.Errorf("body of %s: %w", images[i].Name, err)
		}
		if c.ContentType != "" {
			contentType = c.ContentType
		}
		list[i].data, list[i].contentType = data, contentType
		if total += len(data); total > maxBytes {
			return nil, fmt.Errorf("the request bodies exceed %d MiB in total; use fewer images", maxBytes>>20)
		}
	}
	return list, nil
}

func (c BodyConfig) pack(group []Image) (data []byte, contentType string, err error) {
	switch c.Kind {
	case Multipart:
		return packMultipart(c.Field, group)
	case JSON:
		data, err = render(jsonTemplate, group)
		return data, "application/json", err
	case Templated:
		data, err = render(c.Template, group)
		return data, "application/json", err
	}
	return group[0].Data, http.DetectContentType(group[0].Data), nil
}

func packMultipart(field string, group []Image) (data []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range group {
		header := textproto.MIMEHeader{
			"Content-Disposition": {mime.FormatMediaType("form-data", map[string]string{"name": field, "filename": filepath.Base(p.Name)})},
			"Content-Type":        {http.DetectContentType(p.Data)},
		}
		part, err := w.CreatePart(header)
		if err != nil {
			return nil, "", err
		}
		if _, err := part.Write(p.Data); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}
