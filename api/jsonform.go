package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"fovea/fault"
)

// readJSON reads {"images":[{"b64":"…"}],"parameters":{"top_k":5}} token by token, so that no more is kept than
// one picture's text, nothing nests, and nothing unknown, misspelt or double goes unnoticed.
func readJSON(s *Server, b *body, _ int64, in *submission) error {
	d := &jsonReader{Decoder: json.NewDecoder(b), server: s, in: in}
	d.UseNumber()
	if err := d.document(); err != nil {
		return jsonFault(err)
	}
	return nil
}

type jsonReader struct {
	*json.Decoder
	server *Server
	in     *submission
}

func (d *jsonReader) document() error {
	err := d.object("the body", map[string]func() error{"images": d.images, "parameters": d.parameters})
	if err != nil {
		return err
	}
	switch _, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fault.New(fault.Malformed, "the body goes on after its JSON object")
}

// object reads an object whose fields are those given, each at most once.
func (d *jsonReader) object(what string, fields map[string]func() error) error {
	if err := d.begin(what, '{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool, len(fields))
	for d.More() {
		name, err := d.text(what)
		if err != nil {
			return err
		}
		read, ok := fields[name]
		if !ok {
			return fault.New(fault.Malformed, "unknown field %s in %s; allowed: %s", quote(name), what, names(fields))
		}
		if seen[name] {
			return fault.New(fault.Malformed, "field %s is there twice in %s", name, what)
		}
		seen[name] = true
		if err := read(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (d *jsonReader) images() error {
	if err := d.begin("images", '[', "an array"); err != nil {
		return err
	}
	for d.More() {
		if err := d.server.roomForPicture(d.in); err != nil {
			return err
		}
		before := len(d.in.pictures)
		if err := d.object("images[]", map[string]func() error{"b64": d.picture}); err != nil {
			return err
		}
		if len(d.in.pictures) == before {
			return fault.New(fault.Malformed, "images[%d] has no b64", before)
		}
	}
	_, err := d.Token()
	return err
}

func (d *jsonReader) parameters() error {
	fields := make(map[string]func() error, len(setters))
	for name := range setters {
		fields[name] = func() error {
			token, err := d.Token()
			if err != nil {
				return err
			}
			n, ok := token.(json.Number)
			if !ok {
				return fault.New(fault.InvalidParameter, "parameters.%s is not a number", name)
			}
			return d.in.params.set(name, n.String())
		}
	}
	return d.object("parameters", fields)
}

// picture reads one picture in standard base64, padded or not, with or without a data: prefix as browsers make.
func (d *jsonReader) picture() error {
	index := len(d.in.pictures)
	text, err := d.text("b64")
	if err != nil {
		return err
	}
	if strings.HasPrefix(text, "data:") {
		_, after, ok := strings.Cut(text, ";base64,")
		if !ok {
			return fault.New(fault.Malformed, "images[%d].b64 is a data: URL without ;base64", index)
		}
		text = after
	}
	text = strings.TrimRight(text, "=")
	size := base64.RawStdEncoding.DecodedLen(len(text))
	if limit := d.server.cfg.MaxImageBytes; int64(size) > limit {
		return fault.New(fault.BodyTooLarge, "image %d is larger than %d bytes, the most that is read", index, limit)
	}
	picture, err := base64.RawStdEncoding.AppendDecode(takeBuffer(size), []byte(text))
	if err != nil {
		return fault.Wrap(fault.Malformed, err, "images[%d].b64 is not standard base64", index)
	}
	d.in.pictures = append(d.in.pictures, picture)
	return nil
}

func (d *jsonReader) begin(what string, delim json.Delim, kind string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != delim {
		return fault.New(fault.Malformed, "%s is not %s", what, kind)
	}
	return nil
}

func (d *jsonReader) text(what string) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fault.New(fault.Malformed, "%s is not a string", what)
	}
	return text, nil
}

func jsonFault(err error) error {
	var f *fault.Fault
	switch {
	case errors.As(err, &f), isTransport(err):
		return err
	case errors.Is(err, io.EOF):
		return fault.New(fault.Malformed, "the body ends before its JSON does")
	}
	return fault.Wrap(fault.Malformed, err, "the body is not JSON of the form %s", `{"images":[{"b64":"…"}],"parameters":{"top_k":5}}`)
}
