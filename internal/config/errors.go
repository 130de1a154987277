package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Position is where a value was given. The zero value is a default.
type Position struct {
	File         string
	Line, Column int    // in File, from 1; 0: the file as a whole
	Setting      string // a variable or flag instead of a file: FOVEA_HTTP_MAX_IMAGES or --http.max_images
}

// Error is what is wrong with one key.
type Error struct {
	Key      string // such as http.max_images or instances[0].device; empty: the file as a whole
	Message  string
	Position Position
	Cause    error // for errors.Is
}

// Error begins with FILE:LINE:COLUMN and the key, or with the variable or flag.
func (e *Error) Error() string {
	text, p := e.Message, e.Position
	if subject := cmp.Or(p.Setting, e.Key); subject != "" {
		text = subject + ": " + text
	}
	switch {
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errors collects everything that is wrong, so that it is reported together.
type Errors []*Error

// Add reports an error at a key. A %w in the format makes its argument the cause.
func (e *Errors) Add(key, format string, args ...any) {
	cause := fmt.Errorf(format, args...)
	*e = append(*e, &Error{Key: key, Message: cause.Error(), Cause: cause})
}

// Range reports a value outside low to high, NaN included.
func Range[T cmp.Ordered](e *Errors, key string, value, low, high T) {
	if !(value >= low && value <= high) {
		e.Add(key, "%s is out of range (%s–%s)", Format(value), Format(low), Format(high))
	}
}

// OneOf reports a value that is not one of those allowed.
func (e *Errors) OneOf(key, value string, allowed ...string) {
	switch {
	case slices.Contains(allowed, value):
	case value == "":
		e.Add(key, "is required: one of %s", strings.Join(allowed, ", "))
	default:
		e.Add(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// Address reports an address to listen on that is not host:port with the number of a port.
func (e *Errors) Address(key, address string) {
	if _, port, err := net.SplitHostPort(address); err != nil {
		e.Add(key, "%q is not host:port", address)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		e.Add(key, "port %q is out of range (0–65535)", port)
	}
}

// Under puts a section before the keys of other errors and adds them.
func (e *Errors) Under(section string, others Errors) {
	for _, other := range others {
		other.Key = Join(section, other.Key)
		*e = append(*e, other)
	}
}

// Err returns the errors as one error, nil if there are none.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors for errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// Concerns reports whether one of the errors is about the key, a part of it, or what it is a part of.
func (e Errors) Concerns(key string) bool {
	return slices.ContainsFunc(e, func(one *Error) bool {
		unknown := one.Key == "" && one.Position.Setting != "" // a variable that is not a key
		return !unknown && (within(key, one.Key) || within(one.Key, key))
	})
}

// within reports whether a key is another or a part of it. Every key is a part of the whole file, which has none.
func within(key, of string) bool {
	rest, ok := strings.CutPrefix(key, of)
	return ok && (of == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Join puts a section before a key.
func Join(section, key string) string {
	if section == "" || key == "" || key[0] == '[' {
		return section + key
	}
	return section + "." + key
}

// Index is the key of a list's element.
func Index(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// Checker is a value with rules beyond the tags of its fields. The keys it reports are relative to it.
type Checker interface {
	Check(errs *Errors)
}

// Check validates a configuration: the tags range and oneof, and Checkers. All errors are returned together.
func Check(config any) error { return check(reflect.ValueOf(config)).Err() }

func check(v reflect.Value) (errs Errors) {
	if v = reflect.Indirect(v); v.Kind() == reflect.Struct {
		for _, f := range fieldsOf(v) {
			f.check(&errs)
			errs.Under(f.name, check(f.Value))
		}
	}
	errs.rules(v)
	return errs
}

// rules adds what the Checkers of a value and of the structs inlined in it report, for keys without an error.
func (e *Errors) rules(v reflect.Value) {
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("yaml") == inline {
				e.rules(v.Field(i))
			}
		}
	}
	if c, ok := v.Interface().(Checker); ok {
		var own Errors
		c.Check(&own)
		*e = append(*e, slices.DeleteFunc(own, func(one *Error) bool { return e.Has(one.Key) })...)
	}
}

// Has reports whether one of the errors is about the key itself.
func (e Errors) Has(key string) bool {
	return slices.ContainsFunc(e, func(one *Error) bool { return one.Key == key })
}

func (f field) check(errs *Errors) {
	if allowed := f.tag.Get("oneof"); allowed != "" {
		errs.OneOf(f.name, Format(f.Interface()), strings.Split(allowed, ",")...)
	}
	limits := f.tag.Get("range")
	if limits == "" {
		return
	}
	if f.Kind() != reflect.Slice {
		checkRange(errs, f.name, f.Value, limits)
		return
	}
	for i := range f.Len() {
		checkRange(errs, Index(f.name, i), f.Index(i), limits)
	}
}

// checkRange holds a value against LOW..HIGH, or >LOW..HIGH without LOW itself. A range that cannot be read panics.
func checkRange(errs *Errors, key string, v reflect.Value, limits string) {
	low, high, _ := strings.Cut(limits, "..")
	number, above := strings.CutPrefix(low, ">")
	fromLow, toHigh := compare(v, number), compare(v, high)
	if fromLow < 0 || fromLow == 0 && above || toHigh > 0 || v.CanFloat() && v.Float() != v.Float() {
		errs.Add(key, "%s is out of range (%s)", Format(v.Interface()), low+"–"+high)
	}
}

func compare(v reflect.Value, text string) int {
	other := reflect.New(v.Type()).Elem()
	if err := set(other, text); err != nil {
		panic("config: a range of " + v.Type().String() + ": " + err.Error())
	}
	switch {
	case v.CanInt():
		return cmp.Compare(v.Int(), other.Int())
	case v.CanUint():
		return cmp.Compare(v.Uint(), other.Uint())
	}
	return cmp.Compare(v.Float(), other.Float())
}

// shorten leaves out the zeros that time.Duration writes: 1h instead of 1h0m0s.
func shorten(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// asErrors returns the errors in err, each with its key.
func asErrors(err error) Errors {
	var errs Errors
	if err != nil && !errors.As(err, &errs) {
		errs.Add("", "%w", err)
	}
	return errs
}
