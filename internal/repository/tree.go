package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tree reads the files of a repository by one rule for links: a link is followed when what it leads to lies in the
// repository's folder, as in Kubernetes' volumes (model.yaml -> ..data/model.yaml), or is a file among the blobs of the
// Hugging Face cache that the repository is a snapshot of (snapshots/REVISION/model.onnx -> ../../blobs/HASH). Every
// other link is refused by name. Names are paths from the repository's folder.
//
// A name is resolved first and then opened through an os.Root, so that a link that is exchanged in between cannot lead
// out of the folder.
type tree struct {
	files Files
	dir   string // absolute, free of links
	root  Root
	blobs string // the folder of blobs; empty: none
}

// linkError is a link that is not followed, or leads nowhere.
type linkError struct {
	text    string
	nowhere bool // what it leads to is not there, now at least
}

// Error names the link, what it leads to and the rule.
func (l *linkError) Error() string { return l.text }

// openTree opens the repository in dir; Close ends it.
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

// Close frees the folder's handle.
func (t *tree) Close() error { return t.root.Close() }

// blobsOf is the folder of blobs beside the snapshots that dir lies in, in the layout of huggingface_hub's cache:
// models--ORG--NAME/snapshots/REVISION and models--ORG--NAME/blobs.
func blobsOf(dir string) string {
	for folder := dir; filepath.Dir(folder) != folder; folder = filepath.Dir(folder) {
		if filepath.Base(folder) == "snapshots" {
			return filepath.Join(filepath.Dir(folder), "blobs")
		}
	}
	return ""
}

// resolve is the absolute path of what name leads to, free of links.
func (t *tree) resolve(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s lies outside the repository %s", name, t.dir)
	}
	path, err := t.files.EvalSymlinks(filepath.Join(t.dir, name))
	if err != nil {
		return "", denied(t.broken(name, err), filepath.Join(t.dir, name))
	}
	if _, _, ok := t.within(path); !ok {
		return "", t.refused(name)
	}
	return path, nil
}

// within says by which folder a path that is free of links may be opened, and its name there.
func (t *tree) within(path string) (dir, name string, ok bool) {
	if rel, err := filepath.Rel(t.dir, path); err == nil && filepath.IsLocal(rel) {
		return t.dir, rel, true
	}
	if t.blobs != "" && filepath.Dir(path) == t.blobs {
		return t.blobs, filepath.Base(path), true
	}
	return "", "", false
}

// open opens a file or folder, and returns where it lies. It does not wait for the other end of a pipe.
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

// openFile opens a plain file.
func (t *tree) openFile(name string) (f File, info fs.FileInfo, path string, err error) {
	if f, path, err = t.open(name); err != nil {
		return nil, nil, "", err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = errNotPlain
	}
	if err != nil {
		return nil, nil, "", errors.Join(err, f.Close())
	}
	return f, info, path, nil
}

// stat is what name leads to.
func (t *tree) stat(name string) (fs.FileInfo, error) {
	f, _, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// readDir lists a folder, at most limit entries of it; 0: all.
func (t *tree) readDir(name string, limit int) ([]fs.DirEntry, error) {
	f, _, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(limit)
	if limit > 0 && len(entries) > 0 {
		err = nil // the rest is not asked for
	}
	return entries, err
}

// refused names the link by which a name leaves the repository.
func (t *tree) refused(name string) error {
	link, target := t.link(name, func(path string) bool {
		resolved, err := filepath.EvalSymlinks(path)
		_, _, ok := t.within(resolved)
		return err == nil && !ok
	})
	allowed := "in it"
	if t.blobs != "" {
		allowed += " or in " + t.blobs
	}
	return &linkError{fmt.Sprintf("%s is a link to %s, which lies outside the repository %s; links may lead only to files %s: copy or mount the file there",
		link, target, t.dir, allowed), false}
}

// broken explains why a name cannot be resolved. A link that leads nowhere is no absence of the name.
func (t *tree) broken(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		link, target := t.link(name, func(path string) bool {
			_, err := os.Stat(path)
			return errors.Is(err, fs.ErrNotExist)
		})
		if target != "" {
			return &linkError{fmt.Sprintf("%s is a link to %s, which is not there", link, target), true}
		}
		return err
	}
	if errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links") {
		return &linkError{filepath.Join(t.dir, name) + " leads through links without an end", false}
	}
	return err
}

// link is the first part of a name that is a link for which the condition holds, and what it says it leads to.
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

// Stat is what a name leads to.
func (f folder) Stat(name string) (fs.FileInfo, error) {
	return f.tree.stat(filepath.Join(f.name, name))
}
