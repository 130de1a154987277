package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"fovea/internal/apierror"
)

const jsonForm = `{"images":[{"b64":"…"}],"parameters":{"top_k":5}}`

// readJSON reads a body of jsonForm. The standard library says whether it is JSON; then each image is decoded
// straight from the body's buffer, and nothing unknown, misspelt or double goes unnoticed.
func readJSON(s *Server, b *body, in *submission) error {
	text, err := readAll(b, int(max(b.length, firstRoom)))
	if err != nil {
		return err
	}
	defer giveBuffer(text)
	document := bytes.TrimPrefix(text, byteOrderMark)
	if err := json.Unmarshal(document, &unread{}); err != nil {
		return apierror.New(apierror.Malformed, "the body is not JSON of the form %s: %s", jsonForm, err)
	}
	r := &jsonReader{jsonWalker{document}, s, in}
	return r.object("the body", map[string]func() error{"images": r.images, "parameters": r.parameters})
}

// unread takes any value and leaves it alone.
type unread struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*unread) UnmarshalJSON([]byte) error { return nil }

// jsonReader fills a submission. Its functions take the value that comes next.
type jsonReader struct {
	jsonWalker
	server *Server
	in     *submission
}

// object takes an object whose fields are those given, each at most once.
func (r *jsonReader) object(what string, fields map[string]func() error) error {
	if r.next() != '{' {
		return apierror.New(apierror.Malformed, "%s is not an object", what)
	}
	seen := make(map[string]bool, len(fields))
	return r.each('}', func() error {
		name := string(r.text())
		r.colon()
		read, ok := fields[name]
		if !ok {
			return apierror.New(apierror.Malformed, "unknown field %s in %s; allowed: %s", quote(name), what, names(fields))
		}
		if seen[name] {
			return apierror.New(apierror.Malformed, "field %s is there twice in %s", name, what)
		}
		seen[name] = true
		return read()
	})
}

func (r *jsonReader) images() error {
	if r.next() != '[' {
		return apierror.New(apierror.Malformed, "images is not an array")
	}
	return r.each(']', func() error {
		if err := r.server.roomForImage(r.in); err != nil {
			return err
		}
		before := len(r.in.images)
		if err := r.object("images[]", map[string]func() error{"b64": r.img}); err != nil {
			return err
		}
		if len(r.in.images) == before {
			return apierror.New(apierror.Malformed, "images[%d] has no b64", before)
		}
		return nil
	})
}

func (r *jsonReader) parameters() error {
	fields := make(map[string]func() error, len(setters))
	for name := range setters {
		fields[name] = func() error { return r.in.params.set(name, r.number()) }
	}
	return r.object("parameters", fields)
}

// image takes one image in base64 of either alphabet, padded or not and with or without new lines, as tools write
// it, and with or without a data: prefix, as browsers make.
func (r *jsonReader) img() error {
	field := fmt.Sprintf("images[%d].b64", len(r.in.images))
	if r.next() != '"' {
		return apierror.New(apierror.Malformed, "%s is not a string", field)
	}
	text := r.text()
	if bytes.HasPrefix(text, []byte("data:")) {
		var ok bool
		if _, text, ok = bytes.Cut(text, []byte(";base64,")); !ok {
			return apierror.New(apierror.Malformed, "%s is a data: URL without ;base64", field)
		}
	}
	text = bytes.TrimRight(text, "=\r\n")
	size := base64.RawStdEncoding.DecodedLen(len(text))
	if limit := int64(r.server.cfg.MaxImageBytes); int64(size) > limit {
		return apierror.New(apierror.BodyTooLarge, "%s is larger than %d bytes, the most that is read", field, limit)
	}
	buffer := takeBuffer(size)
	img, err := base64.RawStdEncoding.AppendDecode(buffer, text)
	if err != nil {
		img, err = base64.RawURLEncoding.AppendDecode(buffer, text)
	}
	if err != nil {
		giveBuffer(buffer)
		return apierror.Wrap(apierror.Malformed, err, "%s is not base64", field)
	}
	r.in.images = append(r.in.images, img)
	return nil
}
