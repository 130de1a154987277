package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"fovea/inference"
	"fovea/internal/apierror"
)

const jsonFormat = `{"images":[{"b64":"…"}],"parameters":{"top_k":5}}`

// readJSON reads a body of jsonFormat. encoding/json checks that it is valid; then each image is decoded directly from the
// body's buffer, and unknown or duplicate fields are errors.
func readJSON(s *Server, b *body, in *submission) error {
	text, err := readAll(b, int(max(b.length, initialSize)))
	if err != nil {
		return err
	}
	defer putBuffer(text)
	document := bytes.TrimPrefix(text, byteOrderMark)
	if err := json.Unmarshal(document, &rawJSON{}); err != nil {
		return apierror.New(apierror.Malformed, "the body is not JSON of the form %s: %s", jsonFormat, err)
	}
	r := &jsonReader{jsonWalker{document}, s, in}
	return r.object("the body", map[string]func() error{"images": r.images, urlField: func() error { return r.url("the body") }, "parameters": r.parameters})
}

// rawJSON accepts any value without decoding it.
type rawJSON struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*rawJSON) UnmarshalJSON([]byte) error { return nil }

// jsonReader fills a submission. Its methods consume the next value.
type jsonReader struct {
	jsonWalker
	server *Server
	in     *submission
}

// object consumes an object with the given fields, each at most once.
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
			return apierror.New(apierror.Malformed, "unknown field %s in %s; allowed: %s", apierror.Quote(name), what, names(fields))
		}
		if seen[name] {
			return apierror.New(apierror.Malformed, "duplicate field %s in %s", name, what)
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
		if err := r.server.checkImageCount(r.in); err != nil {
			return err
		}
		before := len(r.in.images)
		fields := map[string]func() error{"b64": r.image, urlField: func() error { return r.url(fmt.Sprintf("images[%d]", before)) }}
		if err := r.object("images[]", fields); err != nil {
			return err
		}
		switch len(r.in.images) - before {
		case 0:
			return apierror.New(apierror.Malformed, "images[%d] has neither b64 nor %s", before, urlField)
		case 1:
			return nil
		}
		return apierror.New(apierror.Malformed, "images[%d] has both b64 and %s", before, urlField)
	})
}

func (r *jsonReader) parameters() error {
	fields := make(map[string]func() error, len(setters))
	for name := range setters {
		fields[name] = func() error { return r.in.params.set(name, r.number()) }
	}
	fields[classesParameter] = r.classes
	fields[inference.TileParam] = func() error { // a number of pixels or a text
		if r.next() == '"' {
			return r.in.params.set(inference.TileParam, string(r.text()))
		}
		return r.in.params.set(inference.TileParam, r.number())
	}
	for _, name := range []string{encodingParameter, annotateParameter, inference.MergeParam, inference.MergeMetricParam} {
		fields[name] = func() error {
			if r.next() != '"' {
				return apierror.New(apierror.InvalidParameter, "%s is not a string", name)
			}
			return r.in.params.set(name, string(r.text()))
		}
	}
	return r.object("parameters", fields)
}

// classes consumes an array of labels and numbers, or one of these.
func (r *jsonReader) classes() error {
	if r.next() != '[' {
		return r.class()
	}
	before := len(r.in.params.values.Classes)
	if err := r.each(']', r.class); err != nil {
		return err
	}
	if len(r.in.params.values.Classes) == before {
		return r.in.params.set(classesParameter, "")
	}
	return nil
}

func (r *jsonReader) class() error {
	switch c := r.next(); {
	case c == '"':
		return r.in.params.set(classesParameter, string(r.text()))
	case c >= '0' && c <= '9':
		return r.in.params.set(classesParameter, r.number())
	}
	return apierror.New(apierror.InvalidParameter, "classes must be an array of labels and numbers of classes")
}

// image consumes one image in base64: in either alphabet, padded or not and with or without line breaks, as tools write it,
// and with or without a data: prefix, as browsers write it.
func (r *jsonReader) image() error {
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
		return apierror.New(apierror.BodyTooLarge, "%s is larger than the limit of %d bytes", field, limit)
	}
	buffer := getBuffer(size)
	img, err := base64.RawStdEncoding.AppendDecode(buffer, text)
	if err != nil {
		img, err = base64.RawURLEncoding.AppendDecode(buffer, text)
	}
	if err != nil {
		putBuffer(buffer)
		return apierror.Wrap(apierror.Malformed, err, "%s is not base64", field)
	}
	r.in.images = append(r.in.images, img)
	return nil
}

// url consumes the address of an image, which is fetched once the body has arrived.
func (r *jsonReader) url(where string) error {
	if r.next() != '"' {
		return apierror.New(apierror.Malformed, "%s of %s is not a string", urlField, where)
	}
	return r.server.addURL(string(r.text()), r.in)
}

// jsonWalker walks over valid JSON. It checks nothing, and copies only strings with escapes. Its methods may be called only
// where what they consume can come next.
type jsonWalker struct{ rest []byte }

// next returns the first byte of the next token, which identifies its kind.
func (w *jsonWalker) next() byte {
	w.rest = bytes.TrimLeft(w.rest, " \t\r\n")
	return w.rest[0]
}

// each consumes an array or object that ends in end, calling item for each of its items.
func (w *jsonWalker) each(end byte, item func() error) error {
	w.rest = w.rest[1:]
	for w.next() != end {
		if err := item(); err != nil {
			return err
		}
		if w.next() == ',' {
			w.rest = w.rest[1:]
		}
	}
	w.rest = w.rest[1:]
	return nil
}

// colon consumes the colon after a field's name.
func (w *jsonWalker) colon() {
	w.next()
	w.rest = w.rest[1:]
}

// text consumes a string. Without escapes, the result is a part of the document.
func (w *jsonWalker) text() []byte {
	w.next()
	end, escapes := 1, false
	for w.rest[end] != '"' {
		if w.rest[end] == '\\' {
			escapes = true
			end++ // the next byte may be a quotation mark
		}
		end++
	}
	literal := w.rest[:end+1]
	w.rest = w.rest[end+1:]
	if !escapes {
		return literal[1:end]
	}
	var text string
	if err := json.Unmarshal(literal, &text); err != nil {
		panic(err) // the document is valid, and so is a part of it
	}
	return []byte(text)
}

// number consumes a number and returns it as written. Of another value it consumes the beginning, which is not a number.
func (w *jsonWalker) number() string {
	w.next()
	literal := w.rest[:bytes.IndexAny(w.rest, ",}] \t\r\n")]
	w.rest = w.rest[len(literal):]
	return string(literal)
}
