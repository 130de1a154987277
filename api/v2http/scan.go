package v2http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"fovea/internal/apierror"
)

// maxDepth is how deep JSON may be nested: far more than tensors have dimensions.
const maxDepth = 64

// maxFields bounds the fields of an object, whose names are kept.
const maxFields = 4096

// scanner reads JSON as in RFC 8259, with NaN, Infinity and -Infinity as numbers, as Python's and Triton's have them. It keeps no copy.
type scanner struct {
	data  []byte
	at    int
	depth int
}

func (s *scanner) errorf(format string, args ...any) error {
	return apierror.New(apierror.Malformed, "failed to parse the request JSON: %s, at byte %d", fmt.Sprintf(format, args...), s.at)
}

// next is the first byte of the next value or mark; 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// object reads an object. field is called for each of its fields, and must read the value.
func (s *scanner) object(what string, field func(name string) error) error {
	if s.next() != '{' {
		return s.errorf("%s is not an object", what)
	}
	var seen map[string]bool
	return s.list('}', func() error {
		if s.next() != '"' {
			return s.errorf("the name of a field in %s is not a string", what)
		}
		name, err := s.text(what)
		if err != nil {
			return err
		}
		switch {
		case seen[name]:
			return s.errorf("%s has the field %s twice", what, apierror.Quote(name))
		case len(seen) == maxFields:
			return s.errorf("%s has more than %d fields", what, maxFields)
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[name] = true
		if s.next() != ':' {
			return s.errorf("there is no colon after %s", apierror.Quote(name))
		}
		s.at++
		return field(name)
	})
}

// array reads an array. item is called for each of its values, and must read it.
func (s *scanner) array(what string, item func() error) error {
	if s.next() != '[' {
		return s.errorf("%s is not an array", what)
	}
	return s.list(']', item)
}

// list reads an object or array from its first byte to end.
func (s *scanner) list(end byte, item func() error) error {
	if s.depth++; s.depth > maxDepth {
		return s.errorf("it is nested deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	s.at++
	if s.next() == end {
		s.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case end:
			s.at++
			return nil
		case 0:
			return s.errorf("it ends too early")
		default:
			return s.errorf("there is neither a comma nor %q", end)
		}
	}
}

// skip reads any value and returns it as it is written.
func (s *scanner) skip() ([]byte, error) {
	first := s.next()
	start := s.at
	var err error
	switch first {
	case '{':
		err = s.object("it", func(string) error { _, err := s.skip(); return err })
	case '[':
		err = s.list(']', func() error { _, err := s.skip(); return err })
	case '"':
		_, _, err = s.literal()
	default:
		_, err = s.token()
	}
	return s.data[start:s.at], err
}

// literal reads a string and returns it with its quotation marks.
func (s *scanner) literal() (literal []byte, escaped bool, err error) {
	start := s.at
	for s.at++; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.data[start:s.at], escaped, nil
		case c < 0x20:
			return nil, false, s.errorf("a string has a control character")
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		}
	}
	return nil, false, s.errorf("a string has no end")
}

// escape reads a backslash and all but the last byte of what belongs to it.
func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.data) || bytes.IndexByte([]byte(`"\/bfnrtu`), s.data[s.at]) < 0 {
		return s.errorf("a string has an invalid escape")
	}
	if s.data[s.at] != 'u' {
		return nil
	}
	if s.at+4 >= len(s.data) {
		return s.errorf("a string has no end")
	}
	if _, err := strconv.ParseUint(string(s.data[s.at+1:s.at+5]), 16, 32); err != nil {
		return s.errorf("a string has an invalid escape")
	}
	s.at += 4
	return nil
}

// bytes reads a string. Without escapes the result is a part of the document.
func (s *scanner) bytes(what string) ([]byte, error) {
	if s.next() != '"' {
		return nil, s.errorf("%s is not a string", what)
	}
	literal, escaped, err := s.literal()
	if err != nil {
		return nil, err
	}
	if !escaped {
		return literal[1 : len(literal)-1], nil
	}
	var text string
	if err := json.Unmarshal(literal, &text); err != nil {
		return nil, s.errorf("a string is invalid")
	}
	return []byte(text), nil
}

func (s *scanner) text(what string) (string, error) {
	b, err := s.bytes(what)
	return string(b), err
}

// token reads a number, or true, false, null.
func (s *scanner) token() ([]byte, error) {
	s.next()
	start := s.at
	for s.at < len(s.data) && !isMark[s.data[s.at]] {
		s.at++
	}
	t := s.data[start:s.at]
	switch string(t) {
	case "true", "false", "null", "NaN", "Infinity", "-Infinity":
		return t, nil
	}
	if !isNumber(t) {
		s.at = start
		if len(t) == 0 && start == len(s.data) {
			return nil, s.errorf("it ends too early")
		}
		return nil, s.errorf("there is no valid value")
	}
	return t, nil
}

// isMark are the bytes that end a number.
var isMark = func() (marks [256]bool) {
	for _, c := range []byte(" \t\r\n,]}:{[\"") {
		marks[c] = true
	}
	return marks
}()

// isNumber reports whether t is a number of JSON: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func isNumber(t []byte) bool {
	if len(t) > 0 && t[0] == '-' {
		t = t[1:]
	}
	whole := digits(t)
	if whole == 0 || whole > 1 && t[0] == '0' {
		return false
	}
	if t = t[whole:]; len(t) > 0 && t[0] == '.' {
		n := digits(t[1:])
		if n == 0 {
			return false
		}
		t = t[1+n:]
	}
	if len(t) > 0 && (t[0] == 'e' || t[0] == 'E') {
		if t = t[1:]; len(t) > 0 && (t[0] == '+' || t[0] == '-') {
			t = t[1:]
		}
		n := digits(t)
		return n > 0 && n == len(t)
	}
	return len(t) == 0
}

func digits(t []byte) (n int) {
	for n < len(t) && t[n] >= '0' && t[n] <= '9' {
		n++
	}
	return n
}

// integer reads a whole number.
func (s *scanner) integer(what string) (int64, error) {
	t, err := s.token()
	if err != nil {
		return 0, err
	}
	n, failed := strconv.ParseInt(string(t), 10, 64)
	if failed != nil {
		return 0, s.errorf("%s is %s and not a whole number of 64 bits", what, apierror.Quote(string(t)))
	}
	return n, nil
}

// end returns an error if anything follows.
func (s *scanner) end() error {
	if s.next() != 0 || s.at < len(s.data) {
		return s.errorf("there is more after it")
	}
	return nil
}
