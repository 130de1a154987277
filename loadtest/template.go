package loadtest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"text/template"
)

// maxBody bounds the output of a template, in bytes.
const maxBody = 256 << 20

var errTooLong = fmt.Errorf("the output exceeds %d MiB", maxBody>>20)

// templateImage is an image as a template sees it.
type templateImage struct {
	Name   string
	data   []byte
	Base64 string // standard encoding, padded
}

// Bytes returns the image's raw bytes.
func (i templateImage) Bytes() string { return string(i.data) }

// templateData is the data of a template: the request's images, and the fields of the first one.
type templateData struct {
	templateImage
	Images []templateImage
}

// render executes a text/template: {{.Base64}}, {{.Name}} and {{.Bytes}} are the first image's; {{range .Images}} iterates
// over all.
func render(text string, images []Image) ([]byte, error) {
	t, err := template.New("body").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var data templateData
	for _, p := range images {
		data.Images = append(data.Images, templateImage{
			Name: p.Name, data: p.Data, Base64: base64.StdEncoding.EncodeToString(p.Data),
		})
	}
	data.templateImage = data.Images[0]
	var out bounded
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if out.Len() == 0 {
		return nil, errors.New("template: the output is empty")
	}
	return out.Bytes(), nil
}

// bounded is a buffer with a maximum size.
type bounded struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxBody {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}
