package loadtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"fovea/internal/config"
	"fovea/internal/testenv"
)

func samples(t *testing.T) []Image {
	t.Helper()
	return []Image{
		{Name: "coffee.jpg", Data: testenv.Image(t, "coffee.jpg")},
		{Name: `qu"ote.jpg`, Data: testenv.Image(t, "rocket.jpg")},
		{Name: "chelsea.jpg", Data: testenv.Image(t, "chelsea.jpg")},
	}
}

func bodiesOf(t *testing.T, c BodyConfig, images []Image) []body {
	t.Helper()
	if err := config.Check(c); err != nil {
		t.Fatal(err)
	}
	list, err := c.bodies(images)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(images) {
		t.Fatalf("%d bodies of %d images", len(list), len(images))
	}
	return list
}

func TestRawBodiesAreTheImages(t *testing.T) {
	images := samples(t)
	for i, b := range bodiesOf(t, BodyConfig{Kind: Raw, Images: 1}, images) {
		if !bytes.Equal(b.data, images[i].Data) || b.contentType != "image/jpeg" {
			t.Errorf("body %d is %d bytes of %s", i, len(b.data), b.contentType)
		}
	}
}

func TestMultipartBodiesHoldTheImagesInTurn(t *testing.T) {
	images := samples(t)
	for i, b := range bodiesOf(t, BodyConfig{Kind: Multipart, Field: "image", Images: 2}, images) {
		_, params, err := mime.ParseMediaType(b.contentType)
		if err != nil {
			t.Fatal(err)
		}
		r := multipart.NewReader(bytes.NewReader(b.data), params["boundary"])
		for place := range 2 {
			part, err := r.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(part)
			want := images[(i+place)%3]
			if err != nil || !bytes.Equal(data, want.Data) || part.FormName() != "image" || part.FileName() != want.Name {
				t.Errorf("part %d of body %d: %q %q, %d bytes, %v", place, i, part.FormName(), part.FileName(), len(data), err)
			}
			if part.Header.Get("Content-Type") != "image/jpeg" {
				t.Errorf("content type %q", part.Header.Get("Content-Type"))
			}
		}
		if _, err := r.NextPart(); err != io.EOF {
			t.Errorf("more than two parts: %v", err)
		}
	}
}

func TestJSONBodiesHoldTheImagesInTurn(t *testing.T) {
	images := samples(t)
	for i, b := range bodiesOf(t, BodyConfig{Kind: JSON, Images: 3}, images) {
		var form struct{ Images []struct{ B64 []byte } }
		if err := json.Unmarshal(b.data, &form); err != nil || len(form.Images) != 3 {
			t.Fatalf("%d images, %v", len(form.Images), err)
		}
		for place, image := range form.Images {
			if !bytes.Equal(image.B64, images[(i+place)%3].Data) || b.contentType != "application/json" {
				t.Errorf("image %d of body %d is another", place, i)
			}
		}
	}
}

func TestTemplates(t *testing.T) {
	img := []Image{{Name: "a.jpg", Data: []byte("\xff\xd8<&>")}, {Name: "b.jpg", Data: []byte("b")}}
	for _, test := range []struct{ name, text, want, wrong string }{
		{name: "the first image's fields", text: `{"n":"{{.Name}}","d":"{{.Base64}}"}`, want: `{"n":"a.jpg","d":"` + base64.StdEncoding.EncodeToString(img[0].Data) + `"}`},
		{name: "bytes are not escaped", text: `{{.Bytes}}`, want: "\xff\xd8<&>"},
		{name: "all images", text: `{{range .Images}}{{.Name}};{{.Bytes}}{{end}}`, want: "a.jpg;\xff\xd8<&>b.jpg;b"},
		{name: "a template that cannot be read", text: `{{.Base64`, wrong: "unclosed action"},
		{name: "an unknown field", text: `{{.Base46}}`, wrong: "Base46"},
		{name: "empty output", text: `{{if false}}x{{end}}`, wrong: "the output is empty"},
		{name: "endless output", text: `{{range 1000000000}}` + strings.Repeat("x", 1<<20) + `{{end}}`, wrong: "exceeds 256 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := render(test.text, img)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// FuzzTemplate: a template is user input.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{jsonTemplate, `{{.Base64}}`, `{{range .Images}}{{.Bytes}}{{end}}`, `{{template "x"}}`, `{{index .Images 9}}`, `{{`} {
		f.Add(seed)
	}
	images := []Image{{Name: "a.jpg", Data: []byte("abc")}}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 || strings.Contains(text, "range") && strings.ContainsAny(text, "0123456789") || strings.Contains(text, "template") || strings.Contains(text, "printf") {
			return // loops, recursion and padding that take long are their author's business
		}
		data, err := render(text, images)
		if (err == nil) != (len(data) > 0) {
			t.Errorf("%d bytes and %v", len(data), err)
		}
	})
}
