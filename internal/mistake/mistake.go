// Package mistake names the keys of configurations that are wrong.
package mistake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Under puts the section before the key of each mistake that err joins.
func Under(section string, err error) error {
	var mistakes []error
	for _, mistake := range All(err) {
		mistakes = append(mistakes, fmt.Errorf("%s.%w", section, mistake))
	}
	return errors.Join(mistakes...)
}

// All is every mistake that err joins, one after the other.
func All(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var mistakes []error
	for _, mistake := range joined.Unwrap() {
		mistakes = append(mistakes, All(mistake)...)
	}
	return mistakes
}

// OneOf tells whether a key's value is one of those that are allowed.
func OneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", key, value, strings.Join(allowed, ", "))
}
