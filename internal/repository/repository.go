package repository

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrNotFound is the error of a model that the repository does not have.
var ErrNotFound = errors.New("no such model")

// Repository is a folder of models: each NAME/model.yaml defines a model, and NAME/VERSION/model.onnx are its weights, where
// VERSION is a positive integer. With SetInfer, weights without model.yaml are a model as well. AddPath adds models from other
// places. Every call reads the current files; what was inferred is kept until they change. The identity of folders that were
// not empty is remembered, so that an unmounted disk is not mistaken for an empty folder.
type Repository struct {
	dir    string // empty: only models that were added
	files  Files
	infer  InferFunc // nil: every model has a model.yaml
	added  []place
	chosen map[string][]int // versions that are served instead of those that definitions select, by model
	seen   sync.Map         // the fs.FileInfo of folders that were not empty, by path

	mu    sync.Mutex
	known map[string]known // by the model's name
}

// Open returns the repository in dir without reading it: Names and Load report a missing folder. An empty dir is a repository
// without a folder, which has only the models that are added.
func Open(dir string) *Repository { return OpenWith(dir, osFiles{}) }

// OpenWith works like Open, with another file system.
func OpenWith(dir string, files Files) *Repository {
	if dir != "" {
		dir = filepath.Clean(dir)
	}
	return &Repository{dir: dir, files: files}
}

// Dir returns the repository's folder, empty if it has none.
func (r *Repository) Dir() string { return r.dir }

// Names lists the models, sorted: folders whose name does not begin with a dot, with a model.yaml or weights that a definition is
// inferred from, and the models that were added. Folders that may be models but cannot be read are included; Load says why. A
// model's folder with an invalid name, or that of an added model, is an error, returned together with the other names. Without
// names the error wraps ErrUnreadable if the repository itself cannot be read.
func (r *Repository) Names() ([]string, error) {
	var names []string
	for _, p := range r.added {
		names = append(names, p.name)
	}
	if r.dir == "" {
		slices.Sort(names)
		return names, nil
	}
	entries, err := r.files.ReadDir(r.dir)
	if err == nil && isEmpty(entries) {
		err = r.gone(r.dir, definitionFile) // of any name: whether the folder is really empty
	}
	if err != nil {
		return names, fmt.Errorf("model repository: %w", Unreadable(denied(err, r.dir)))
	}
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		switch there, err := r.isModel(name); {
		case !there && err == nil:
		case !ValidName(name) && there:
			errs = append(errs, fmt.Errorf("model repository: the folder name %q is not a valid model name; "+
				"allowed: letters, digits and . _ - , at most 128, a letter or digit first", name))
		case slices.Contains(names, name):
			errs = append(errs, fmt.Errorf("model repository: %s is not served: another model has its name", filepath.Join(r.dir, name)))
		case ValidName(name):
			names = append(names, name)
		}
	}
	if len(names) > len(r.added) {
		r.found(r.dir)
	}
	r.forget(names)
	slices.Sort(names)
	return names, errors.Join(errs...)
}

// isModel reports whether a folder of the repository is a model. The error wraps ErrUnreadable if that is unknown.
func (r *Repository) isModel(name string) (bool, error) {
	dir := filepath.Join(r.dir, name)
	there, err := r.isFile(dir, definitionFile)
	if there || err != nil || r.infer == nil {
		return there, err
	}
	return r.isUndefined(dir)
}

// isUndefined reports whether a folder without model.yaml has a version with weights. One with a misnamed definition does not
// count: its values would be ignored without a word.
func (r *Repository) isUndefined(dir string) (bool, error) {
	entries, err := r.files.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	case err != nil:
		return false, Unreadable(err)
	case slices.ContainsFunc(entries, isMisnamed):
		return false, nil
	}
	return r.hasVersion(dir, entries)
}

// hasVersion reports whether one of the folders in a model's folder is a version with weights.
func (r *Repository) hasVersion(dir string, entries []fs.DirEntry) (bool, error) {
	for _, entry := range entries {
		if versionNumber(entry.Name()) == 0 {
			continue
		}
		if there, err := r.isWeights(filepath.Join(dir, entry.Name())); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// isWeights reports whether a folder has weights, or is a link that leads to itself, which Entry.Weights reports.
func (r *Repository) isWeights(folder string) (bool, error) {
	there, err := r.isFile(folder, weightsFile)
	if err != nil && r.isLinkLoop(folder) {
		return true, nil
	}
	return there, err
}

// isMisnamed reports whether a file is meant as the model.yaml and is not named so.
func isMisnamed(entry fs.DirEntry) bool {
	name := strings.ToLower(entry.Name())
	return entry.Name() != definitionFile && (name == definitionFile || name == "model.yml")
}

// Entry is one model of a repository.
type Entry struct {
	Definition Definition
	Inferred   *Inferred // how the definition was derived; nil with a model.yaml
	Undefined  error     // why it has no task, for lack of a model.yaml: an *InferError; nil with a definition
	Dir        string    // the model's folder
	Versions   []Version // all versions with weights, ascending; none before a pull
	Unreadable []Version // versions that cannot be read now, ascending, each with its Err

	files Files  // how it is read
	root  string // the folder whose rule for links applies
	own   string // the model's folder in root
	place *place // of an added model
	// watched are the files of an added ONNX file that its fingerprint includes.
	watched []string
}

// Version is one set of weights.
type Version struct {
	Number int
	Path   string // of model.onnx
	Err    error  // why it cannot be read now: an ErrUnreadable

	name     string   // of model.onnx in the root of its entry
	sidecars []string // folders in that root with files that describe the model
}

// Load reads a model's definition and labels, or infers them, and lists its versions. The error joins all errors of the
// definition, each with file, line and key. It wraps ErrNotFound if there certainly is no such model, ErrUnreadable if that is
// unknown, and an *UnknownError if its definition cannot be inferred. Missing weights are no error: Serve is empty then.
func (r *Repository) Load(name string) (*Entry, error) {
	entry, err := r.LoadAny(name)
	if err == nil && entry.Undefined != nil {
		return nil, entry.Undefined
	}
	return entry, err
}

// LoadAny is Load, except that a definition that cannot be inferred is no error: the model has no task, and Undefined says why.
func (r *Repository) LoadAny(name string) (*Entry, error) {
	entry, t, err := r.locate(name)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	undefined, err := r.define(entry, t, name)
	if err != nil {
		return nil, err
	}
	r.found(entry.Dir)
	if err := r.findVersions(entry); err != nil {
		return nil, err
	}
	if undefined {
		if err := r.inferDefinition(t, name, entry); err != nil {
			return nil, err
		}
	}
	if err := r.watch(t, entry); err != nil {
		return nil, err
	}
	if numbers, ok := r.chosen[name]; ok {
		entry.Definition.Versions = Versions{Numbers: numbers}
	}
	if err := entry.checkVersions(); err != nil {
		return nil, err
	}
	if entry.Definition.Task == Pipeline && len(entry.Versions) > 0 {
		return nil, fmt.Errorf("%s: a pipeline has no weights, but there are some: %s", filepath.Join(entry.Dir, definitionFile), entry.Versions[0].Path)
	}
	return entry, nil
}

// locate finds a model's folder. The caller closes the tree.
func (r *Repository) locate(name string) (*Entry, *tree, error) {
	if p := r.addedPlace(name); p != nil {
		return r.locateAdded(p)
	}
	if !ValidName(name) || r.dir == "" {
		return nil, nil, fmt.Errorf("%w: %.140q is not a model name", ErrNotFound, name)
	}
	e := &Entry{Dir: filepath.Join(r.dir, name), files: r.files, root: r.dir, own: name}
	t, err := openTree(r.files, r.dir)
	if err != nil {
		return nil, nil, r.absent(r.dir, name, name, err)
	}
	own, _, err := t.open(name)
	if err != nil {
		_ = t.Close()
		return nil, nil, r.absent(r.dir, name, name, atPath(e.Dir, err))
	}
	return e, t, own.Close()
}

// define reads the model.yaml. undefined reports that there certainly is none, and that one may be inferred.
func (r *Repository) define(e *Entry, t *tree, name string) (undefined bool, err error) {
	if e.place != nil && !e.place.defined {
		return true, nil
	}
	e.Definition, err = load(folder{t, e.own}, name, e.Dir)
	if !errors.Is(err, fs.ErrNotExist) && !isTemporary(err) {
		return false, err
	}
	err = r.absent(e.Dir, definitionFile, name, err)
	switch {
	case r.infer == nil || !errors.Is(err, ErrNotFound):
		return false, err
	case e.place != nil && e.place.file != "":
		return true, nil
	}
	there, unknown := r.isUndefined(e.Dir)
	if unknown != nil || !there {
		return false, cmp.Or(unknown, err)
	}
	return true, nil
}

// absent returns the error of an entry of a folder that could not be read: ErrNotFound if the entry certainly does not exist.
func (r *Repository) absent(dir, entry, model string, err error) error {
	var link *linkError
	if errors.As(err, &link) && !link.dangling {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		if unknown := r.gone(dir, entry); unknown != nil {
			return unknown
		}
		return fmt.Errorf("%w: %s: %w", ErrNotFound, model, err)
	}
	if info, failed := r.files.Stat(dir); failed == nil && !info.IsDir() {
		return cmp.Or(r.replaced(dir, dir+" is not a folder"), Unreadable(err))
	}
	return Unreadable(err)
}

// findVersions lists the folders named by a positive decimal integer that have weights. Others are ignored: a version may be
// partly copied. The error is an ErrUnreadable.
func (r *Repository) findVersions(e *Entry) error {
	if e.place != nil && e.place.file != "" {
		return r.findFile(e)
	}
	entries, err := r.files.ReadDir(e.Dir)
	if err != nil {
		return Unreadable(denied(err, e.Dir))
	}
	for _, entry := range entries {
		n := versionNumber(entry.Name())
		if n == 0 {
			continue
		}
		folder, own := filepath.Join(e.Dir, entry.Name()), filepath.Join(e.own, entry.Name())
		there, err := r.isWeights(folder)
		switch v := (Version{n, filepath.Join(folder, weightsFile), err, filepath.Join(own, weightsFile), []string{own, e.own}}); {
		case err != nil:
			e.Unreadable = append(e.Unreadable, v)
		case there:
			r.found(folder)
			e.Versions = append(e.Versions, v)
		}
	}
	slices.SortFunc(e.Versions, byNumber)
	slices.SortFunc(e.Unreadable, byNumber)
	return nil
}

// isLinkLoop reports whether a path is a link that leads to itself.
func (r *Repository) isLinkLoop(path string) bool {
	_, err := r.files.Stat(path)
	info, failed := r.files.Lstat(path)
	return errors.Is(err, syscall.ELOOP) && failed == nil && info.Mode()&fs.ModeSymlink != 0
}

// versionNumber returns the version that a folder is named by; 0: none.
func versionNumber(name string) int {
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > MaxVersion || strconv.Itoa(n) != name {
		return 0
	}
	return n
}

func byNumber(a, b Version) int { return a.Number - b.Number }

// isFile reports whether a folder of the repository has a regular file of that name, or a link to one or to itself. The error
// wraps ErrUnreadable if that is unknown, or if there is something else where a model was found before.
func (r *Repository) isFile(dir, name string) (bool, error) {
	path := filepath.Join(dir, name)
	info, err := r.files.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
		return true, nil
	case err == nil:
		return false, r.replaced(dir, path+" is not a regular file")
	case errors.Is(err, fs.ErrNotExist):
		return false, r.gone(dir, name)
	case r.isLinkLoop(path):
		return true, nil // reading it reports the error
	case errors.Is(err, syscall.ENOTDIR): // a link to a file instead of a folder
		if info, failed := r.files.Stat(dir); failed == nil && !info.IsDir() {
			return false, r.replaced(dir, dir+" is not a folder")
		}
	}
	return false, Unreadable(err)
}

// replaced returns an error if a folder with a model or version was found at that path before: a model is removed by removing it,
// not by putting something else in its place.
func (r *Repository) replaced(dir, what string) error {
	if _, known := r.seen.Load(dir); !known {
		return nil
	}
	return Unreadable(errors.New(what + " any more"))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
