package repository

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/config"
)

// Versions selects the versions that are served: the latest, all, or numbers. With a gate it is the latest one that passes it.
type Versions struct {
	All     bool
	Numbers []int // empty and not All: the latest
	Gate    Gate  `yaml:"gate"`
}

// UnmarshalText reads latest, all, or numbers separated by commas.
func (v *Versions) UnmarshalText(text []byte) error {
	*v = Versions{}
	switch string(text) {
	case "latest":
		return nil
	case "all":
		v.All = true
		return nil
	}
	for part := range strings.SplitSeq(string(text), ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("%q is not latest, all, or a list of version numbers", text)
		}
		v.Numbers = append(v.Numbers, n)
	}
	return nil
}

// Serve returns the versions that the definition selects, ascending: the latest, all, or those listed. Versions that cannot be
// read now are ignored unless isServed reports that they are served already.
func (e *Entry) Serve(isServed func(number int) bool) []Version {
	candidates := slices.Clone(e.Versions)
	for _, v := range e.Unreadable {
		if isServed != nil && isServed(v.Number) {
			candidates = append(candidates, v)
		}
	}
	slices.SortFunc(candidates, byNumber)
	policy := e.Definition.Versions
	switch {
	case policy.All || len(candidates) == 0:
		return candidates
	case len(policy.Numbers) == 0:
		return candidates[len(candidates)-1:]
	}
	return slices.DeleteFunc(candidates, func(v Version) bool { return !slices.Contains(policy.Numbers, v.Number) })
}

// checkVersions reports listed versions that are not there, once any is.
func (e *Entry) checkVersions() error {
	if len(e.Versions) == 0 {
		return nil
	}
	var errs config.Errors
	for i, n := range e.Definition.Versions.Numbers {
		if !slices.ContainsFunc(slices.Concat(e.Versions, e.Unreadable), func(v Version) bool { return v.Number == n }) {
			errs.Add(config.Index("versions", i), "%s does not exist", filepath.Join(strconv.Itoa(n), weightsFile))
			errs[len(errs)-1].Position.File = filepath.Join(e.Dir, definitionFile)
		}
	}
	return errs.Err()
}

// Before returns the highest version below a number that can be read.
func (e *Entry) Before(number int) (Version, bool) {
	for _, v := range slices.Backward(e.Versions) {
		if v.Number < number {
			return v, true
		}
	}
	return Version{}, false
}

// Choose has these versions of a model served, without a gate, instead of those that its definition selects. It is not called
// while the repository is read.
func (r *Repository) Choose(name string, numbers ...int) {
	if r.chosen == nil {
		r.chosen = map[string][]int{}
	}
	r.chosen[name] = numbers
}

func (v Versions) check(errs *config.Errors) {
	for i, n := range v.Numbers {
		config.Range(errs, config.Index("versions", i), n, 1, MaxVersion)
		if slices.Index(v.Numbers, n) < i {
			errs.Add(config.Index("versions", i), "%d is listed twice", n)
		}
	}
	if v.All && len(v.Numbers) > 0 {
		errs.Add("versions", "all and a list of numbers exclude each other")
	}
}
