package loadtest

import (
	"bytes"
	"cmp"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path/filepath"

	"fovea/internal/config"
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

// jsonTemplate is Fovea's JSON form.
const jsonTemplate = `{"images":[{{range $i, $p := .Images}}{{if $i}},{{end}}{"b64":"{{$p.Base64}}"}{{end}}]}`

// BodyConfig is how images are put into a request.
type BodyConfig struct {
	Kind        BodyKind `yaml:"body" oneof:"raw,multipart,json,template" help:"how images are sent; json is Fovea's form"`
	Images      int      `yaml:"images-per-request" range:"1..1024" help:"images, or rows of tensors, per request"`
	Field       string   `yaml:"field" help:"name of multipart parts"`
	Template    string   `yaml:"-"` // text of the template
	ContentType string   `yaml:"content-type" help:"content type of bodies; empty: the image's, or that of --body"`
}

// Check implements config.Checker.
func (c BodyConfig) Check(errs *config.Errors) {
	if c.Kind == Multipart && c.Field == "" {
		errs.Add("field", "is required: the name of multipart parts")
	}
	if (c.Kind == Templated) != (c.Template != "") {
		errs.Add("template", "is required with body template, and only with it")
	}
	if c.ContentType != "" {
		if _, _, err := mime.ParseMediaType(c.ContentType); err != nil {
			errs.Add("content-type", "%q: %w", c.ContentType, err)
		}
	}
}

// body is a request body.
type body struct {
	data        []byte
	contentType string
	header      http.Header // other than the content type
	images      []int       // indices of its images
}

// bodies makes one body per image: it holds the image and those that follow it, as many as images per request.
func bodies(images []Image, perRequest int, pack func(group []Image) (body, error)) ([]body, error) {
	list := make([]body, len(images))
	total := 0
	for i := range list {
		group, indices := make([]Image, perRequest), make([]int, perRequest)
		for j := range group {
			indices[j] = (i + j) % len(images)
			group[j] = images[indices[j]]
		}
		b, err := pack(group)
		if err != nil {
			return nil, fmt.Errorf("body of %s: %w", images[i].Name, err)
		}
		b.images = indices
		list[i] = b
		if total += len(b.data); total > maxBytes {
			return nil, fmt.Errorf("the request bodies exceed %d MiB in total; use fewer images", maxBytes>>20)
		}
	}
	return list, nil
}

// bodies makes the bodies of images.
func (c BodyConfig) bodies(images []Image) ([]body, error) {
	return bodies(images, c.Images, func(group []Image) (body, error) {
		data, contentType, err := c.pack(group)
		return body{data: data, contentType: cmp.Or(c.ContentType, contentType)}, err
	})
}

func (c BodyConfig) pack(group []Image) (data []byte, contentType string, err error) {
	switch c.Kind {
	case Multipart:
		return packMultipart(c.Field, group)
	case JSON, Templated:
		data, err = render(cmp.Or(c.Template, jsonTemplate), group)
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
		if err == nil {
			_, err = part.Write(p.Data)
		}
		if err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}
