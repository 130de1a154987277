package repository

import (
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

	"fovea/internal/config"
)

// ErrNotFound is the error of a model that the repository does not have.
var ErrNotFound = errors.New("no such model")

// Repository is a folder of models: each NAME/model.yaml defines a model, and NAME/VERSION/model.onnx are its weights, where
// VERSION is a positive integer. Every call reads the current files. Only the identity of folders that were not empty
// is remembered, so that an unmounted disk is not mistaken for an empty folder.
type Repository struct {
	dir   string
	files Files
	seen  sync.Map // the fs.FileInfo of folders that were not empty, by path
}

// Open returns the repository in dir without reading it: Names and Load report a missing folder.
func Open(dir string) *Repository { return OpenWith(dir, osFiles{}) }

// OpenWith works like Open, with another file system.
func OpenWith(dir string, files Files) *Repository {
	return &Repository{dir: filepath.Clean(dir), files: files}
}

// Dir returns the repository's folder.
func (r *Repository) Dir() string { return r.dir }

// Names lists the models, sorted: folders with a model.yaml whose name does not begin with a dot. Folders that may be models but
// cannot be read are included; Load says why. A folder with a model.yaml and an invalid name is an error, returned together
// with the other names. Without names the error wraps ErrUnreadable if the repository itself cannot be read.
func (r *Repository) Names() ([]string, error) {
	entries, err := r.files.ReadDir(r.dir)
	if err == nil && isEmpty(entries) {
		err = r.gone(r.dir, definitionFile) // of any name: whether the folder is really empty
	}
	if err != nil {
		return nil, fmt.Errorf("model repository: %w", Unreadable(denied(err, r.dir)))
	}
	var names []string
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		there, err := r.isFile(filepath.Join(r.dir, name), definitionFile)
		switch {
		case err != nil && ValidName(name), there && ValidName(name):
			names = append(names, name)
		case there:
			errs = append(errs, fmt.Errorf("model repository: the folder name %q is not a valid model name; "+
				"allowed: letters, digits and . _ - , at most 128, a letter or digit first", name))
		}
	}
	if len(names) > 0 {
		r.found(r.dir)
	}
	return names, errors.Join(errs...)
}

// Entry is one model of a repository.
type Entry struct {
	Definition Definition
	Dir        string    // the model's folder
	Versions   []Version // all versions with weights, ascending; none before a pull
	Unreadable []Version // versions that cannot be read now, ascending, each with its Err
	files      Files     // how it is read
}

// Version is one set of weights.
type Version struct {
	Number int
	Path   string // of model.onnx
	Err    error  // why it cannot be read now: an ErrUnreadable
}

// Load reads a model's definition and labels, and lists its versions. The error joins all errors of the definition, each with
// file, line and key. It wraps ErrNotFound if there certainly is no such model, and ErrUnreadable if that is unknown. Missing
// weights are no error: Serve is empty then.
func (r *Repository) Load(name string) (*Entry, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%w: %.140q is not a model name", ErrNotFound, name)
	}
	dir := filepath.Join(r.dir, name)
	t, err := openTree(r.files, r.dir)
	if err != nil {
		return nil, r.absent(r.dir, name, name, err)
	}
	defer t.Close()
	own, _, err := t.open(name)
	if err != nil {
		return nil, r.absent(r.dir, name, name, atPath(dir, err))
	}
	defer own.Close()
	definition, err := load(folder{t, name}, name, dir)
	if errors.Is(err, fs.ErrNotExist) || isTemporary(err) {
		return nil, r.absent(dir, definitionFile, name, err)
	}
	if err != nil {
		return nil, err
	}
	r.found(dir)
	entry := &Entry{Definition: definition, Dir: dir, files: r.files}
	if err := r.findVersions(entry); err != nil {
		return nil, Unreadable(denied(err, dir))
	}
	if err := entry.checkVersions(); err != nil {
		return nil, err
	}
	return entry, nil
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
	return Unreadable(err)
}

// findVersions lists the folders named by a positive decimal integer that have weights. Others are ignored: a version may be
// partly copied.
func (r *Repository) findVersions(e *Entry) error {
	entries, err := r.files.ReadDir(e.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		n := versionNumber(entry.Name())
		if n == 0 {
			continue
		}
		folder := filepath.Join(e.Dir, entry.Name())
		there, err := r.isFile(folder, weightsFile)
		if err != nil && r.isLinkLoop(folder) { // Entry.Weights reports it
			there, err = true, nil
		}
		switch v := (Version{n, filepath.Join(folder, weightsFile), err}); {
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
	if err != nil || n < 1 || n > maxVersion || strconv.Itoa(n) != name {
		return 0
	}
	return n
}

func byNumber(a, b Version) int { return a.Number - b.Number }

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

// isFile reports whether a folder of the repository has a regular file of that name, or a link to one or to itself. The error
// wraps ErrUnreadable if that is unknown.
func (r *Repository) isFile(dir, name string) (bool, error) {
	info, err := r.files.Stat(filepath.Join(dir, name))
	switch {
	case err == nil:
		return info.Mode().IsRegular(), nil
	case errors.Is(err, fs.ErrNotExist):
		return false, r.gone(dir, name)
	case r.isLinkLoop(filepath.Join(dir, name)):
		return true, nil // reading it reports the error
	case errors.Is(err, syscall.ENOTDIR): // a link to a file instead of a folder
		if info, failed := r.files.Stat(dir); failed == nil && !info.IsDir() {
			return false, nil
		}
	}
	return false, Unreadable(err)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
