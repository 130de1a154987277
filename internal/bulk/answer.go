package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// field is one of a JSON object.
type field struct {
	name  string
	value json.RawMessage
}

// object is a JSON object, with its fields in order.
type object []field

func (o object) get(name string) json.RawMessage {
	for _, f := range o {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

func (o object) number(name string) (v float64, ok bool) {
	raw := o.get(name)
	return v, raw != nil && json.Unmarshal(raw, &v) == nil
}

func (o object) text(name string) (v string) {
	if raw := o.get(name); raw != nil {
		_ = json.Unmarshal(raw, &v) // a value of another type is no text
	}
	return v
}

// label is what an object is called: its label, or else its text or the number of its class.
func (o object) label() string {
	for _, name := range []string{"label", "text", "name"} {
		if text := o.text(name); text != "" {
			return text
		}
	}
	if class, ok := o.number("class"); ok {
		return fmt.Sprintf("class %.0f", class)
	}
	return ""
}

func kind(raw json.RawMessage) byte {
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) > 0 {
		return trimmed[0]
	}
	return 0
}

// parse reads a JSON object.
func parse(raw json.RawMessage) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("the prediction is not a JSON object")
	}
	var o object
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)} // a key is one
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		o = append(o, f)
	}
	return o, nil
}

// elements reads a JSON array; ok is false if its elements are not objects.
func elements(raw json.RawMessage) (list []object, ok bool) {
	var all []json.RawMessage
	if kind(raw) != '[' || json.Unmarshal(raw, &all) != nil {
		return nil, false
	}
	for _, one := range all {
		if kind(one) != '{' {
			return nil, false
		}
		o, err := parse(one)
		if err != nil {
			return nil, false
		}
		list = append(list, o)
	}
	return list, true
}

// content is a prediction as rows: one for each class, object, line or whatever its first list has, or a single one.
type content struct {
	whole object
	rows  []object
	list  bool // rows are those of a list
}

func contentOf(prediction json.RawMessage) (content, error) {
	whole, err := parse(prediction)
	if err != nil {
		return content{}, err
	}
	empty := false
	for _, f := range whole {
		rows, ok := elements(f.value)
		if ok && len(rows) > 0 {
			return content{whole, rows, true}, nil
		}
		empty = empty || ok
	}
	if empty {
		return content{whole, nil, true}, nil
	}
	return content{whole, []object{whole}, false}, nil
}

// box is where an object is, in pixels of the image.
type box struct {
	label          string
	x1, y1, x2, y2 float64
}

// boxesOf are the boxes of a prediction, in their order; none for tasks without.
func boxesOf(prediction json.RawMessage) (list []box, err error) {
	c, err := contentOf(prediction)
	if err != nil {
		return nil, err
	}
	for _, row := range c.rows {
		if b, ok := boxOf(row); ok && c.list {
			list = append(list, b)
		}
	}
	return list, nil
}

func boxOf(o object) (box, bool) {
	b, ok := box{label: o.label()}, true
	for _, side := range []struct {
		name string
		to   *float64
	}{{"x1", &b.x1}, {"y1", &b.y1}, {"x2", &b.x2}, {"y2", &b.y2}} {
		v, found := o.number(side.name)
		*side.to, ok = v, ok && found
	}
	return b, ok
}
