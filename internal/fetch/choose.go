package fetch

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
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
		case strings.EqualFold(path.Ext(e.name), ".onnx"):
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
		if len(others) == 0 {
			return entry{}, &final{fmt.Errorf("%s has no files", cmp.Or(s.folder, "it"))}
		}
		return entry{}, &final{fmt.Errorf("%s has no .onnx file; export the model to ONNX. It has %s", cmp.Or(s.folder, "it"), shown(others, entryName))}
	}
	return entry{}, &final{fmt.Errorf("it has %d ONNX files; name one of them: %s", len(models), shown(models, func(e entry) string { return e.choice(src) }))}
}

func entryName(e entry) string { return e.name }

// choice is how to name a file of the source.
func (e entry) choice(src Source) string {
	if src.Scheme == source.Local {
		return path.Join(src.Path, e.name)
	}
	src.Path = e.name
	return src.Display()
}

func shown(entries []entry, text func(entry) string) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = text(e)
	}
	slices.Sort(names)
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
