package repository

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mistake is one thing wrong with a definition, at a key such as input.mean[1].
type mistake struct {
	key     string
	message string
}

// mistakes gathers everything wrong, so that a person mends it all in one go.
type mistakes []mistake

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, mistake{key, fmt.Sprintf(format, args...)})
}

// without leaves out what is wrong with keys, or with parts of them, that others tell of already: what could not be
// read is not to be called missing or out of range as well.
func (m mistakes) without(others mistakes) mistakes {
	return slices.DeleteFunc(m, func(one mistake) bool {
		return slices.ContainsFunc(others, func(other mistake) bool { return within(one.key, other.key) || within(other.key, one.key) })
	})
}

// within says whether a key is another one or a part of it; every key is a part of the whole file, which has none.
func within(key, of string) bool {
	rest, ok := strings.CutPrefix(key, of)
	return ok && (of == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// join makes one error of all mistakes, nil of none. place gives what to put before a key, such as a file and line.
func (m mistakes) join(place func(key string) string) error {
	errs := make([]error, 0, len(m))
	for _, one := range m {
		text := one.message
		if one.key != "" {
			text = one.key + ": " + text
		}
		errs = append(errs, errors.New(place(one.key)+text))
	}
	return errors.Join(errs...)
}

func nowhere(string) string { return "" }

// oneOf reports a value that is none of those allowed.
func (m *mistakes) oneOf(key, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	if value == "" {
		m.add(key, "must be given: %s", strings.Join(allowed, ", "))
		return
	}
	m.add(key, "%q is not known; allowed: %s", value, strings.Join(allowed, ", "))
}

// between reports a value outside low to high. NaN is outside.
func between[T int | int64 | float64](m *mistakes, key string, value, low, high T) {
	if !(value >= low && value <= high) {
		m.add(key, "%v is out of range; allowed: %v to %v", value, low, high)
	}
}

func indexKey(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
