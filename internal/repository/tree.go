package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tree opens the files of a repository with one rule for symbolic links: a link is followed if its target is in the
// repository's folder, as in Kubernetes volumes (model.yaml -> ..data/model.yaml), or one of the blobs of the Hugging Face
// cache that the repository is a snapshot of (snapshots/REVISION/model.onnx -> ../../blobs/HASH). Other links are errors.
// Names are relative to the repository's folder.
//
// A name is resolved first and then opened through an os.Root, so that a link that is replaced in between cannot escape.
type tree struct {
	files Files
	dir   string // absolute, without links
	root  Root
	blobs string // folder of blobs; empty: none
}

// linkError is a link that is not followed or is dangling.
type linkError struct {
	text     string
	dangling bool // its target does not exist, at least now
}

// Error names the link, its target and the rule.
func (l *linkError) Error() string { return l.text }

// openTree opens the repository in dir.
func openTree(files Files, dir string) (*tree, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if absolute, err = files.EvalSymlinks(absolute); err != nil {
		return nil, denied(err, dir)
	}
	root, err := files.OpenRoot(absolute)
	if err != nil {
		return nil, denied(err, absolute)
	}
	return &tree{files, absolute, root, blobsOf(absolute)}, nil
}

// Close closes the folder.
func (t *tree) Close() error { return t.root.Close() }

// blobsOf returns the folder of blobs next to the snapshots that contain dir, in the layout of huggingface_hub's cache:
// models--ORG--NAME/snapshots/REVISION and models--ORG--NAME/blobs.
func blobsOf(dir string) string {
	for folder := dir; filepath.Dir(folder) != folder; folder = filepath.Dir(folder) {
		if filepath.Base(folder) == "snapshots" {
			return filepath.Join(filepath.Dir(folder), "blobs")
		}
	}
	return ""
}

// resolve returns the absolute path of a name, without links.
func (t *tree) resolve(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s is outside the repository %s", name, t.dir)
	}
	path, err := t.files.EvalSymlinks(filepath.Join(t.dir, name))
	if err != nil {
		return "", denied(t.unresolved(name, err), filepath.Join(t.dir, name))
	}
	if _, _, ok := t.within(path); !ok {
		return "", t.escapes(name)
	}
	return path, nil
}

// within returns the folder through which a path without links may be opened, and its name there.
func (t *tree) within(path string) (dir, name string, ok bool) {
	if rel, err := filepath.Rel(t.dir, path); err == nil && filepath.IsLocal(rel) {
		return t.dir, rel, true
	}
	if t.blobs != "" && filepath.Dir(path) == t.blobs {
		return t.blobs, filepath.Base(path), true
	}
	return "", "", false
}

// open opens a file or folder and returns its path without links. It does not block on pipes.
func (t *tree) open(name string) (f File, path string, err error) {
	if path, err = t.resolve(name); err != nil {
		return nil, "", err
	}
	dir, rel, _ := t.within(path)
	root := t.root
	if dir != t.dir {
		if root, err = t.files.OpenRoot(dir); err != nil {
			return nil, "", denied(err, dir)
		}
		defer root.Close()
	}
	f, err = root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return f, path, denied(err, path)
}

// openFile opens a regular file.
func (t *tree) openFile(name string) (f File, info fs.FileInfo, path string, err error) {
	if f, path, err = t.open(name); err != nil {
		return nil, nil, "", err
	}
	info, err = regular(f)
	return f, info, path, err
}

// list returns the sorted names of what is in a folder.
func (t *tree) list(folder string) (names []string, err error) {
	f, _, err := t.open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(0)
	for _, entry := range entries {
		names = append(names, filepath.Join(folder, entry.Name()))
	}
	slices.Sort(names)
	return names, err
}

// escapes returns the error of a name with a link that leaves the repository.
func (t *tree) escapes(name string) error {
	link, target := t.link(name, func(path string) bool {
		resolved, err := filepath.EvalSymlinks(path)
		_, _, ok := t.within(resolved)
		return err == nil && !ok
	})
	allowed := "in it"
	if t.blobs != "" {
		allowed += " or in " + t.blobs
	}
	return &linkError{fmt.Sprintf("%s is a link to %s, which is outside the repository %s; links may only point to files %s: copy or mount the file there",
		link, target, t.dir, allowed), false}
}

// unresolved explains why a name cannot be resolved. A dangling link does not mean that the name is absent.
func (t *tree) unresolved(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		link, target := t.link(name, func(path string) bool {
			_, err := os.Stat(path)
			return errors.Is(err, fs.ErrNotExist)
		})
		if target != "" {
			return &linkError{fmt.Sprintf("%s is a link to %s, which does not exist", link, target), true}
		}
		return err
	}
	if errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links") {
		return &linkError{filepath.Join(t.dir, name) + " is a loop of links", false}
	}
	return err
}

// link returns the first part of a name that is a link and meets the condition, and its target.
func (t *tree) link(name string, holds func(path string) bool) (path, target string) {
	path = t.dir
	for part := range strings.SplitSeq(filepath.Clean(name), string(filepath.Separator)) {
		path = filepath.Join(path, part)
		if target, err := os.Readlink(path); err == nil && holds(path) {
			return path, target
		}
	}
	return filepath.Join(t.dir, name), ""
}

// folder is a folder of the tree as an fs.FS.
type folder struct {
	tree *tree
	name string
}

// Open opens a file.
func (f folder) Open(name string) (fs.File, error) {
	file, _, err := f.tree.open(filepath.Join(f.name, name))
	if err != nil {
		return nil, err // not file, which would be a nil pointer in an interface
	}
	return file, nil
}
