package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNotFound says that the repository has no model of a name.
var ErrNotFound = errors.New("no such model")

// Repository is a folder of models: each NAME/model.yaml is a model, and NAME/VERSION/model.onnx are its weights,
// VERSION being a positive whole number. It keeps nothing in memory: every call reads what is there now.
type Repository struct{ dir string }

// Open returns the repository in dir. It touches nothing: a folder that is not there shows in Names and Load.
func Open(dir string) *Repository { return &Repository{dir} }

// Dir is the repository's folder.
func (r *Repository) Dir() string { return r.dir }

// Names lists the models, sorted. Folders without a model.yaml, and those whose name begins with a dot, are no
// models. What may be a model and cannot be looked at, for want of permission or as a link to nothing, is listed:
// Load says why. A folder that holds a model.yaml but whose name is not allowed is an error; the other names are
// returned with it.
func (r *Repository) Names() ([]string, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("model repository: %w", denied(err, r.dir))
	}
	var names []string
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		is, err := present(filepath.Join(r.dir, name, definitionFile))
		unseen := err != nil || leadsNowhere(r.dir, entry) // is listed, so that Load says why
		if !is && !unseen || unseen && !ValidName(name) {
			continue
		}
		if !ValidName(name) {
			errs = append(errs, fmt.Errorf("model repository: the folder %q is not named as a model may be; "+
				"allowed: letters, digits and . _ - , at most 128, a letter or digit first", name))
			continue
		}
		names = append(names, name)
	}
	return names, errors.Join(errs...)
}

// Entry is one model of a repository.
type Entry struct {
	Definition Definition
	Dir        string    // the model's folder
	Versions   []Version // all versions that have weights, ascending; none before they are pulled
	repository string    // the folder of the repository
}

// Version is one set of weights.
type Version struct {
	Number int
	Path   string // of model.onnx
}

// Load reads a model's definition, its labels and which versions there are. The error joins all mistakes of the
// definition, each with file, line and key; it wraps ErrNotFound when there is no such model. Weights that are
// not there are no error: Serve is empty then.
func (r *Repository) Load(name string) (*Entry, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%w: %.140q is not a model name", ErrNotFound, name)
	}
	dir := filepath.Join(r.dir, name)
	entry, err := r.read(name, dir)
	if err != nil {
		return nil, err
	}
	if err := entry.checkVersions(); err != nil {
		return nil, err
	}
	return entry, nil
}

func (r *Repository) read(name, dir string) (*Entry, error) {
	t, err := openTree(r.dir)
	if err != nil {
		return nil, atPath(dir, err)
	}
	defer t.Close()
	if _, err := t.stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	} else if err != nil {
		return nil, atPath(dir, err)
	}
	definition, err := load(folder{t, name}, name, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	versions, err := findVersions(t, name, dir)
	if err != nil {
		return nil, atPath(dir, err)
	}
	return &Entry{definition, dir, versions, r.dir}, nil
}

// findVersions lists the folders that are named by a positive number, written plainly, and hold weights. Others
// are passed over: a version may be half copied. Whether weights that are a link may be read is seen when they are.
func findVersions(t *tree, name, dir string) ([]Version, error) {
	entries, err := t.readDir(name, 0)
	if err != nil {
		return nil, err
	}
	var versions []Version
	for _, entry := range entries {
		n := versionNumber(entry.Name())
		if n == 0 {
			continue
		}
		weights := filepath.Join(dir, entry.Name(), weightsFile)
		is, err := present(weights)
		if leadsNowhere(dir, entry) { // Entry.Weights says so
			is, err = true, nil
		}
		if err != nil {
			return nil, denied(err, weights)
		}
		if is {
			versions = append(versions, Version{n, weights})
		}
	}
	slices.SortFunc(versions, func(a, b Version) int { return a.Number - b.Number })
	return versions, nil
}

// leadsNowhere says whether an entry of a folder is a link to nothing, or to itself.
func leadsNowhere(dir string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, entry.Name()))
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP)
}

// versionNumber is the version that a folder's name says; 0: it is none.
func versionNumber(name string) int {
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > maxVersion || strconv.Itoa(n) != name {
		return 0
	}
	return n
}

// present says whether there is a plain file of that name, or a link, whatever it leads to.
func present(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0), err
}

// Serve returns the versions that the definition's policy serves, ascending: the highest, all, or those listed.
// It is empty when no weights are there yet.
func (e *Entry) Serve() []Version {
	policy := e.Definition.Versions
	switch {
	case policy.All || len(e.Versions) == 0:
		return e.Versions
	case len(policy.Numbers) == 0:
		return e.Versions[len(e.Versions)-1:]
	}
	var served []Version
	for _, v := range e.Versions {
		if slices.Contains(policy.Numbers, v.Number) {
			served = append(served, v)
		}
	}
	return served
}

// checkVersions reports listed versions that are not there, once any is.
func (e *Entry) checkVersions() error {
	var m mistakes
	if len(e.Versions) > 0 {
		for i, n := range e.Definition.Versions.Numbers {
			if !slices.ContainsFunc(e.Versions, func(v Version) bool { return v.Number == n }) {
				m.add(indexKey("versions", i), "there is no %s", filepath.Join(strconv.Itoa(n), weightsFile))
			}
		}
	}
	file := filepath.Join(e.Dir, definitionFile) + ": "
	return m.join(func(string) string { return file })
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
