package bulk

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"fovea/internal/apierror"
)

// Result is the answer for an image, or why there is none.
type Result struct {
	Image  string
	Answer *Answer
	Err    error
}

// Sink takes results. Close ends what was written, also if the run was ended early.
type Sink interface {
	Write(Result) error
	Close() error
}

// record is a result as JSON.
type record struct {
	Image      string          `json:"image"`
	ImageBytes []byte          `json:"image_bytes,omitempty"` // the name's bytes in base64, if it is not UTF-8
	Model      string          `json:"model,omitempty"`
	Version    string          `json:"version,omitempty"`
	Prediction json.RawMessage `json:"prediction,omitempty"`
	Error      string          `json:"error,omitempty"`
	Code       apierror.Code   `json:"code,omitempty"`
}

func recordOf(r Result) record {
	out := record{Image: r.Image}
	if !utf8.ValidString(r.Image) { // names of files are bytes; in Image, those that are no character are U+FFFD
		out.ImageBytes = []byte(r.Image)
	}
	if r.Err == nil {
		out.Model, out.Version, out.Prediction = r.Answer.Model, r.Answer.Version, r.Answer.JSON
		return out
	}
	out.Error = r.Err.Error()
	if isAPI(r.Err) { // otherwise it is of the file
		out.Code = apierror.From(r.Err).Code
	}
	return out
}

// name is the name of the image.
func (r *record) name() string {
	if r.ImageBytes != nil {
		return string(r.ImageBytes)
	}
	return r.Image
}

// encodeRecord writes one line.
func encodeRecord(r Result) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(recordOf(r))
	return b.Bytes(), err
}

// lines writes a JSON object per line, each with one write.
type lines struct{ w io.Writer }

// NewJSONLines returns a sink that writes a line of JSON for each image.
func NewJSONLines(w io.Writer) Sink { return lines{w} }

func (l lines) Write(r Result) error {
	line, err := encodeRecord(r)
	if err != nil {
		return err
	}
	_, err = l.w.Write(line)
	return err
}

func (l lines) Close() error { return nil }

// array writes one JSON array.
type array struct {
	w     io.Writer
	begun bool
}

// NewJSON returns a sink that writes a JSON array with an object for each image.
func NewJSON(w io.Writer) Sink { return &array{w: w} }

func (a *array) Write(r Result) error {
	line, err := encodeRecord(r)
	if err != nil {
		return err
	}
	before := ",\n"
	if !a.begun {
		before = "[\n"
	}
	a.begun = true
	_, err = a.w.Write(append([]byte(before), bytes.TrimRight(line, "\n")...))
	return err
}

func (a *array) Close() error {
	end := "\n]\n"
	if !a.begun {
		end = "[]\n"
	}
	_, err := io.WriteString(a.w, end)
	return err
}

// csvSink writes CSV.
type csvSink struct {
	w      *csv.Writer
	header []string
	left   map[string]bool
	notes  io.Writer
}

// NewCSV returns a sink that writes a line for each class, object or the like of an image. The columns are the fields of the first.
// Images without any have no line, nor have failures. notes gets, at the end, the names of fields that the first did not have.
func NewCSV(w, notes io.Writer) Sink {
	return &csvSink{w: csv.NewWriter(w), left: map[string]bool{}, notes: notes}
}

func (c *csvSink) Write(r Result) error {
	if r.Err != nil {
		return nil
	}
	of, err := contentOf(r.Answer.JSON)
	if err != nil {
		return err
	}
	for _, row := range of.rows {
		if !of.list {
			row = flat(row)
		}
		if c.header == nil {
			c.header = []string{"image"}
			for _, f := range row {
				c.header = append(c.header, f.name)
			}
			if err := c.w.Write(c.header); err != nil {
				return err
			}
		}
		line := make([]string, len(c.header))
		line[0] = r.Image
		for _, f := range row {
			if i := slices.Index(c.header[1:], f.name); i >= 0 {
				line[i+1] = cellText(f.value)
			} else {
				c.left[f.name] = true
			}
		}
		if err := c.w.Write(line); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvSink) Close() error {
	for name := range c.left {
		_, _ = fmt.Fprintf(c.notes, "csv: the field %s is left out: the first line has none\n", name)
	}
	return nil
}

// cellText is a text without quotes, and anything else as JSON.
func cellText(raw json.RawMessage) string {
	var text string
	if kind(raw) == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	if kind(raw) == 'n' {
		return ""
	}
	return string(raw)
}

// flat names the fields of objects within an object by both names, and leaves out images.
func flat(o object) (out object) {
	for _, f := range o {
		inner, err := parse(f.value)
		if err != nil {
			out = append(out, f)
			continue
		}
		for _, g := range inner {
			if !isImage(g.name) {
				out = append(out, field{f.name + "." + g.name, g.value})
			}
		}
	}
	return out
}

// isImage reports whether a field of that name holds an image or a map in base64.
func isImage(name string) bool { return name == "png" || name == "jpeg" || name == "raw" }
