package repository

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// SetInfer has models without a model.yaml served by a definition that infer derives. Without it such folders are misplaced.
// It is called before the repository is used.
func (r *Repository) SetInfer(infer InferFunc) { r.infer = infer }

// Infer derives the definition of a model from its highest version that can be read, as if it had no model.yaml. set are values
// of keys that take precedence. The error wraps an *UnknownError if more has to be said.
func (r *Repository) Infer(name string, set map[string]string) (*Inferred, error) {
	if r.infer == nil {
		return nil, errors.New("definitions are not inferred here")
	}
	entry, t, err := r.locate(name)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := r.findVersions(entry); err != nil {
		return nil, err
	}
	v, err := entry.highest()
	if err != nil {
		return nil, err
	}
	return r.inferFrom(t, name, entry, v, set)
}

// highest returns the highest version that can be read.
func (e *Entry) highest() (Version, error) {
	switch {
	case len(e.Versions) > 0:
		return e.Versions[len(e.Versions)-1], nil
	case len(e.Unreadable) > 0:
		return Version{}, e.Unreadable[len(e.Unreadable)-1].Err
	}
	return Version{}, fmt.Errorf("%w: there is no %s", ErrNotFound, filepath.Join(e.Dir, "1", weightsFile))
}

// inferDefinition completes an entry without model.yaml, whose versions are known. If none can be inferred, it has no task.
func (r *Repository) inferDefinition(t *tree, name string, e *Entry) error {
	v, err := e.highest()
	if err != nil {
		return err
	}
	inferred, err := r.inferFrom(t, name, e, v, nil)
	if _, undefined := errors.AsType[*InferError](err); undefined {
		e.Definition, e.Undefined = Definition{Name: name, Task: NoTask}.WithDefaults(), err
		return nil
	}
	if err != nil {
		return err
	}
	e.Definition, e.Inferred = inferred.Definition, inferred
	return nil
}

// inferFrom derives the definition of a model from one version. Without set, what it found is kept until the files change.
func (r *Repository) inferFrom(t *tree, name string, e *Entry, v Version, set map[string]string) (*Inferred, error) {
	k, err := r.knownOf(t, name, v)
	if err != nil {
		return nil, err
	}
	if k.err != nil {
		return nil, atPath(v.Path, k.err)
	}
	files := &sidecars{tree: t, folders: v.sidecars}
	identity, err := identityOf(t, files.names())
	if err != nil {
		return nil, Unreadable(err)
	}
	if set == nil && identity == k.identity && (k.inferred != nil || k.failed != nil) {
		return k.inferred, k.failed
	}
	inferred, err := r.infer(k.graph, files, set)
	if files.failed != nil { // whatever was made of that
		if isTemporary(files.failed) {
			return nil, Unreadable(files.failed)
		}
		return nil, files.failed
	}
	if err == nil {
		inferred.Definition.Name = name
		if errs := inferred.Definition.check(); len(errs) > 0 {
			err = fmt.Errorf("the inferred definition is invalid: %w", errs)
		}
	}
	if err != nil {
		inferred, err = nil, &InferError{e.Dir, v.Path, err}
	}
	if set == nil {
		k.identity, k.inferred, k.failed = identity, inferred, err
		r.remember(name, k)
	}
	return inferred, err
}

// InferError is the error of a model whose definition cannot be inferred.
type InferError struct {
	Dir, Path string // of the model, and of its model.onnx
	Err       error  // an *UnknownError, or what is wrong
}

// Error says what to do.
func (e *InferError) Error() string {
	return fmt.Sprintf("%s has no %s, and one cannot be inferred from %s: write it, or use models add with --set\n%v",
		e.Dir, definitionFile, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *InferError) Unwrap() error { return e.Err }

// known is what is known of the ONNX file of a model, and the definition inferred from it.
type known struct {
	file     string   // the identity of model.onnx
	graph    *Graph   // nil with err
	external []string // locations of external data
	err      error    // the file is not a valid ONNX file

	identity string // of the files next to it
	inferred *Inferred
	failed   error // instead of inferred
}

// remember keeps what is known of a model. The files may change before the next use.
func (r *Repository) remember(name string, k known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]known{}
	}
	r.known[name] = k
}

// forget drops what is known of models that are not among names.
func (r *Repository) forget(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.known, func(name string, _ known) bool { return !slices.Contains(names, name) })
}

// knownOf reads the ONNX file of a version, unless it is the one that was read last. The error is an ErrUnreadable.
func (r *Repository) knownOf(t *tree, name string, v Version) (known, error) {
	identity, err := identityOf(t, []string{v.name})
	if err != nil {
		return known{}, Unreadable(err)
	}
	r.mu.Lock()
	k := r.known[name]
	r.mu.Unlock()
	if k.file == identity {
		return k, nil
	}
	k = known{file: identity}
	f, info, _, err := t.openFile(v.name)
	if err != nil {
		k.err = withoutPath(err)
	} else {
		defer f.Close()
		k.graph, k.external, k.err = readGraph(f, info.Size())
	}
	if isTemporary(k.err) {
		return known{}, Unreadable(atPath(v.Path, k.err))
	}
	r.remember(name, k)
	return k, nil
}

// readGraph reads the structure of an ONNX file. The error describes a file of another kind.
func readGraph(f File, size int64) (*Graph, []string, error) {
	p := newGraphParser(f, size)
	if err := describe(p.parse(), f, size); err != nil {
		return nil, nil, err
	}
	return p.structure.finish(), slices.Sorted(maps.Keys(p.external)), nil
}

// identityOf returns a text that changes with any of the files: resolved paths, sizes and times.
func identityOf(t *tree, names []string) (string, error) {
	var b strings.Builder
	for _, name := range names {
		if err := t.fingerprint(&b, name); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// describing are the extensions of files that describe a model next to them.
var describing = []string{".json", ".txt", ".yaml", ".yml", ".pbtxt", ".names", ".csv"}

// IsSidecar reports whether a file's name is that of one that describes the model next to it.
func IsSidecar(name string) bool {
	base := filepath.Base(name)
	return !strings.HasPrefix(base, ".") && slices.Contains(describing, strings.ToLower(filepath.Ext(base)))
}

// maxBeside is the size of a file that describes a model.
const maxBeside = maxLabelsFile

// sidecars are the files next to a version's model.onnx and in the model's folder, as one folder: the first that has a file counts.
type sidecars struct {
	tree    *tree
	folders []string
	failed  error // the first error other than that a file does not exist
}

// names lists the files that may describe the model, in the tree.
func (b *sidecars) names() (names []string) {
	for _, folder := range b.folders {
		list, err := b.tree.list(folder)
		b.note(err)
		names = append(names, slices.DeleteFunc(list, func(name string) bool {
			return !IsSidecar(name)
		})...)
	}
	return names
}

func (b *sidecars) note(err error) {
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && !isTemporary(err)) {
		b.failed = cmp.Or(b.failed, err)
	}
}

// Open opens a file.
func (b *sidecars) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	for _, folder := range b.folders {
		f, _, err := b.tree.open(filepath.Join(folder, filepath.FromSlash(name)))
		b.note(err)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadFile reads a regular file of at most maxBeside bytes.
func (b *sidecars) ReadFile(name string) ([]byte, error) {
	data, err := readFile(b, name, maxBeside)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	b.note(err)
	return data, err
}

// ReadDir lists the files and folders, sorted, without names that begin with a dot.
func (b *sidecars) ReadDir(name string) ([]fs.DirEntry, error) {
	entries := map[string]fs.DirEntry{}
	var missing error
	for _, folder := range slices.Backward(b.folders) {
		list, err := b.read(filepath.Join(folder, filepath.FromSlash(name)))
		b.note(err)
		missing = err
		for _, entry := range list {
			if !strings.HasPrefix(entry.Name(), ".") {
				entries[entry.Name()] = entry
			}
		}
	}
	if len(entries) == 0 && missing != nil {
		return nil, missing
	}
	return slices.SortedFunc(maps.Values(entries), func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) }), nil
}

func (b *sidecars) read(folder string) ([]fs.DirEntry, error) {
	f, _, err := b.tree.open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(0)
}
