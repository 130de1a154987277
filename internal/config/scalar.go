package config

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as a number with KiB, MiB, GiB, TiB or B, or without a unit.
type Size int64

// units from the largest on; the last one stands for none.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText reads the written form.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		number = strings.TrimSpace(number)
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/u.bytes {
			*s = Size(n * u.bytes)
			return nil
		}
		n, err := strconv.ParseFloat(number, 64)
		bytes := n * float64(u.bytes)
		if err != nil || !(bytes >= 0 && bytes < math.MaxInt64) {
			break
		}
		*s = Size(bytes)
		return nil
	}
	return fmt.Errorf("%.40q is not a size such as 512KiB, 16MiB or 2GiB", text)
}

// String gives the largest unit of which the size is a whole number.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 && u.name != "B" {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0"
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// set reads text, from whatever source, into a value. The elements of lists are separated by commas.
func set(v reflect.Value, text string) error {
	if isText(v.Type()) {
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Slice:
		if text == "" {
			v.SetZero()
			return nil
		}
		return setList(v, strings.Split(text, ","))
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return orMessage(err, "%.40q is neither true nor false", text)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 0, 64)
		v.SetUint(n)
		return orMessage(err, "%.40q is not a whole number above or equal to 0", text)
	case reflect.Float64:
		f, err := parseFloat(text)
		v.SetFloat(f)
		return orMessage(err, "%.40q is not a number", text)
	case reflect.Int, reflect.Int64:
		if v.Type() == durationType {
			d, err := time.ParseDuration(text)
			v.SetInt(int64(d))
			return orMessage(err, "%.40q is not a duration such as 500ms, 10s or 1m30s", text)
		}
		n, err := strconv.ParseInt(text, 0, 64)
		v.SetInt(n)
		return orMessage(err, "%.40q is not a whole number", text)
	default:
		panic("config: no text is read into " + v.Type().String())
	}
}

func setList(v reflect.Value, texts []string) error {
	var errs Errors
	list := reflect.MakeSlice(v.Type(), len(texts), len(texts))
	for i, text := range texts {
		if err := set(list.Index(i), strings.TrimSpace(text)); err != nil {
			errs.Add(Index("", i), "%w", err)
		}
	}
	v.Set(list)
	return errs.Err()
}

// parseFloat reads what YAML calls a number.
func parseFloat(text string) (float64, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), nil
	}
	return strconv.ParseFloat(text, 64)
}

func orMessage(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// Format writes a value as every source reads it.
func Format(value any) string {
	switch x := value.(type) {
	case time.Duration:
		return shorten(x)
	case fmt.Stringer:
		return x.String()
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(value)
	}
	texts := make([]string, v.Len())
	for i := range texts {
		texts[i] = Format(v.Index(i).Interface())
	}
	return strings.Join(texts, ",")
}

// typeName is what help calls the type of a value.
func typeName(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "duration"
	case Size:
		return "size"
	}
	return cmp.Or(kindNames[v.Kind()], "string")
}

var kindNames = map[reflect.Kind]string{
	reflect.Bool: "bool", reflect.Int: "int", reflect.Int64: "int", reflect.Uint64: "int", reflect.Float64: "float", reflect.Slice: "list",
}
