package exporter

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// message is a protobuf message in text format: values by field, each text or a message. Triton's config.pbtxt and label maps
// of TensorFlow's Object Detection API are such.
type message map[string][]any

// maxProto is how deep messages may be nested.
const maxProto = 16

func (m message) text(name string) string {
	for _, v := range m[name] {
		if text, ok := v.(string); ok {
			return text
		}
	}
	return ""
}

func (m message) messages(name string) (list []message) {
	for _, v := range m[name] {
		if inner, ok := v.(message); ok {
			list = append(list, inner)
		}
	}
	return list
}

func (m message) numbers(name string) (list []int64) {
	for _, v := range m[name] {
		text, _ := v.(string)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// prototext parses a message. It keeps no types: numbers and names are text.
func prototext(data []byte) (message, error) {
	p := &protoParser{text: string(data)}
	m, err := p.message("", 0)
	if err != nil {
		return nil, fmt.Errorf("not protobuf text at byte %d: %w", p.at, err)
	}
	return m, nil
}

type protoParser struct {
	text string
	at   int
}

var errProto = errors.New("unexpected character")

// token returns the next token: a character of punctuation, text in quotes as such, or a word; empty at the end.
func (p *protoParser) token() (token string, quoted bool, err error) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case strings.IndexByte(" \t\r\n,;", c) >= 0:
			p.at++
		case c == '#':
			end := strings.IndexByte(p.text[p.at:], '\n')
			if end < 0 {
				end = len(p.text) - p.at
			}
			p.at += end
		case c == '"' || c == '\'':
			token, err = p.quoted()
			return token, true, err
		case strings.IndexByte("{}[]<>:", c) >= 0:
			p.at++
			return string(c), false, nil
		default:
			start := p.at
			for p.at < len(p.text) && strings.IndexByte(" \t\r\n,;#\"'{}[]<>:", p.text[p.at]) < 0 {
				p.at++
			}
			return p.text[start:p.at], false, nil
		}
	}
	return "", false, nil
}

func (p *protoParser) quoted() (string, error) {
	inner := literalParser{rest: p.text[p.at:]}
	text, err := inner.text()
	p.at = len(p.text) - len(inner.rest)
	return text, err
}

// message parses fields up to the end, which is empty for that of the file.
func (p *protoParser) message(end string, depth int) (message, error) {
	m := message{}
	for {
		name, quoted, err := p.token()
		switch {
		case err != nil:
			return nil, err
		case !quoted && name == end:
			return m, nil
		case quoted || name == "" || strings.Contains("{}[]<>:", name) || depth > maxProto:
			return nil, errProto
		}
		if err := p.field(m, name, depth); err != nil {
			return nil, err
		}
	}
}

func (p *protoParser) field(m message, name string, depth int) error {
	token, quoted, err := p.token()
	if err == nil && !quoted && token == ":" {
		token, quoted, err = p.token()
	}
	if err != nil {
		return err
	}
	if quoted || token != "[" {
		v, err := p.value(token, quoted, depth)
		m[name] = append(m[name], v)
		return err
	}
	for {
		token, quoted, err := p.token()
		if err != nil || !quoted && token == "]" {
			return err
		}
		v, err := p.value(token, quoted, depth)
		if err != nil {
			return err
		}
		m[name] = append(m[name], v)
	}
}

func (p *protoParser) value(token string, quoted bool, depth int) (any, error) {
	switch {
	case quoted:
		return token, nil
	case token == "{":
		return p.message("}", depth+1)
	case token == "<":
		return p.message(">", depth+1)
	case token == "" || strings.Contains("}]>[:", token):
		return nil, errProto
	}
	return token, nil
}

// labelMap reads a label map of TensorFlow's Object Detection API: items with an id, from 1, and a name or display name.
func labelMap(text string) (labels []string, err error) {
	m, err := prototext([]byte(text))
	if err != nil {
		return nil, err
	}
	for _, item := range m.messages("item") {
		ids := item.numbers("id")
		if len(ids) != 1 || ids[0] < 1 || ids[0] > repository.MaxLabels {
			continue
		}
		for len(labels) < int(ids[0]) {
			labels = append(labels, "")
		}
		name := item.text("display_name")
		if name == "" {
			name = item.text("name")
		}
		labels[ids[0]-1] = name
	}
	return labels, nil
}

// tritonFile is the configuration of a model for Triton.
const tritonFile = "config.pbtxt"

// readTriton reads what Triton's config.pbtxt next to the model says: the size of an input that the file leaves open, and the
// name of a labels file.
func (b *builder) readTriton() error {
	if !b.hasFile(tritonFile) {
		return nil
	}
	data, err := fs.ReadFile(b.files, tritonFile)
	if err != nil {
		return err
	}
	config, err := prototext(data)
	if err != nil {
		return fmt.Errorf("%s: %w", tritonFile, err)
	}
	for _, out := range config.messages("output") {
		if file := out.text("label_filename"); file != "" {
			b.labelFile = file
		}
	}
	for _, in := range config.messages("input") {
		dims := in.numbers("dims")
		if in.text("name") != b.image.Name || len(dims) < 3 {
			continue
		}
		dims = dims[len(dims)-3:] // max_batch_size stands for the batch
		h, w := dims[1], dims[2]
		if b.channelsLast || in.text("format") == "FORMAT_NHWC" {
			h, w = dims[0], dims[1]
		}
		if h > 0 && w > 0 {
			b.tritonWidth, b.tritonHeight = w, h
		}
	}
	return nil
}
