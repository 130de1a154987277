package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/source"
)

// usual are the paths of the model in repositories: the file itself, in the folder of Optimum and transformers.js, and in the
// container images of KServe.
var usual = []string{"model.onnx", "onnx/model.onnx", "models/model.onnx"}

// maxShown is how many files an error lists.
const maxShown = 20

// model chooses the model among a source's files.
func (s *opened) model(src Source) (entry, error) {
	if s.exact != nil {
		return *s.exact, nil
	}
	var models, others []entry
	for _, e := range s.entries {
		switch {
		case !below(e.name, s.folder):
		case isModel(e.name):
			models = append(models, e)
		default:
			others = append(others, e)
		}
	}
	for _, name := range usual {
		if i := slices.IndexFunc(models, func(e entry) bool { return e.name == path.Join(s.folder, name) }); i >= 0 {
			return models[i], nil
		}
	}
	switch len(models) {
	case 1:
		return models[0], nil
	case 0:
		if len(others) == 0 && s.folder != "" {
			return entry{}, &final{fmt.Errorf("it has no %s; it has %s", s.folder, shown(s.entries, entryName))}
		}
		if len(others) == 0 {
			return entry{}, &final{errors.New("it has no files")}
		}
		return entry{}, &final{fmt.Errorf("%s has no .onnx file; export the model to ONNX. It has %s", cmp.Or(s.folder, "it"), shown(others, entryName))}
	}
	return entry{}, &final{fmt.Errorf("it has %d ONNX files; name one of them: %s", len(models), shown(models, func(e entry) string { return e.choice(src) }))}
}

func isModel(name string) bool { return strings.EqualFold(path.Ext(name), ".onnx") }

func entryName(e entry) string { return e.name }

// choice is how to name a file of the source.
func (e entry) choice(src Source) string {
	if src.Scheme == source.Local {
		return path.Join(src.Path, e.name)
	}
	src.Path = e.name
	return src.Display()
}

// shown lists entries, ONNX files first.
func shown(entries []entry, text func(entry) string) string {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int {
		if x, y := isModel(a.name), isModel(b.name); x != y {
			return strings.Compare(strconv.FormatBool(y), strconv.FormatBool(x))
		}
		return strings.Compare(a.name, b.name)
	})
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = text(e)
	}
	if more := len(names) - maxShown; more > 0 {
		names = append(names[:maxShown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// find returns a file by its name in the first of the folders that has it.
func (s *opened) find(name string, folders ...string) (entry, bool) {
	for _, folder := range folders {
		full := path.Join(folder, name)
		if i := slices.IndexFunc(s.entries, func(e entry) bool { return e.name == full }); i >= 0 {
			return s.entries[i], true
		}
	}
	if s.sibling != nil && !slices.Contains(companions, name) { // what may not be needed is not requested
		return s.sibling(name), true
	}
	return entry{}, false
}

func below(name, folder string) bool {
	return folder == "" || strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
