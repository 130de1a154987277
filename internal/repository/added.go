package repository

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// place is where a model is that was added.
type place struct {
	name string
	root string // the folder whose rule for links applies
	own  string // the model's folder, in root
	file string // of the weights, in root; empty: the model's folder has versions
	// number is the version of file.
	number   int
	sidecars []string // folders in root with files that describe file
	defined  bool     // a model.yaml in the model's folder counts
}

// AddPath adds a model that is not in the repository's folder, and returns its name. The path is that of an ONNX file, of a model's
// folder (NAME, with NAME/1/model.onnx), or of a folder with one ONNX file or with model.onnx or onnx/model.onnx, as Hugging
// Face's are. The model's name is that of the file, or of the folder if the file is model.onnx. A name must not be added twice.
//
// Files next to the ONNX file, and in the folder that was given, describe the model. A link at the path itself is followed; for
// others the rule of repositories applies to the model's folder.
func (r *Repository) AddPath(path string) (name string, err error) {
	p, err := r.placeOf(path)
	if err != nil {
		return "", err
	}
	if r.addedPlace(p.name) != nil {
		return "", fmt.Errorf("%s: another model has the name %s", path, p.name)
	}
	r.added = append(r.added, p)
	return p.name, nil
}

func (r *Repository) addedPlace(name string) *place {
	if i := slices.IndexFunc(r.added, func(p place) bool { return p.name == name }); i >= 0 {
		return &r.added[i]
	}
	return nil
}

func (r *Repository) placeOf(path string) (place, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return place{}, err
	}
	info, err := r.files.Stat(absolute)
	switch {
	case err != nil:
		return place{}, denied(err, absolute)
	case !info.IsDir():
		return r.placeOfFile(absolute)
	}
	return r.placeOfFolder(absolute)
}

// placeOfFile is the place of an ONNX file. If it is a link that its folder's rule rejects, that of its target.
func (r *Repository) placeOfFile(path string) (place, error) {
	p := place{name: NameOf(path), number: 1}
	if t, err := openTree(r.files, filepath.Dir(path)); err == nil {
		_, err = t.resolve(filepath.Base(path))
		_ = t.Close()
		if err != nil {
			if path, err = r.files.EvalSymlinks(path); err != nil {
				return place{}, err
			}
		}
	}
	folder := filepath.Dir(path)
	switch n := versionNumber(filepath.Base(folder)); {
	case n > 0: // NAME/1/model.onnx
		model := filepath.Dir(folder)
		p.number, p.root, p.own, p.defined = n, filepath.Dir(model), filepath.Base(model), true
	case filepath.Base(folder) == hubFolder:
		p.root, p.own, p.defined = filepath.Dir(folder), ".", true
	default:
		p.root, p.own, p.defined = folder, ".", filepath.Base(path) == weightsFile
	}
	return p.at(path)
}

// at sets the file of the weights, and the folders with files that describe it.
func (p place) at(path string) (place, error) {
	file, err := filepath.Rel(p.root, path)
	if err != nil {
		return place{}, err
	}
	p.file, p.sidecars = file, []string{filepath.Dir(file)}
	if p.own != p.sidecars[0] {
		p.sidecars = append(p.sidecars, p.own)
	}
	return p, nil
}

// hubFolder is the folder of the ONNX files in repositories of the Hugging Face Hub.
const hubFolder = "onnx"

// placeOfFolder is the place of a model's folder with versions, or of a folder with an ONNX file.
func (r *Repository) placeOfFolder(path string) (place, error) {
	entries, err := r.files.ReadDir(path)
	if err != nil {
		return place{}, denied(err, path)
	}
	if is, err := r.hasVersion(path, entries); is || err != nil {
		if name := filepath.Base(path); err == nil && !ValidName(name) {
			err = fmt.Errorf("the folder name %q is not a valid model name; allowed: letters, digits and . _ - , at most 128, a letter or digit first", name)
		}
		return place{name: filepath.Base(path), root: filepath.Dir(path), own: filepath.Base(path), defined: true}, err
	}
	file, err := r.onlyFile(path, entries)
	if err != nil {
		return place{}, err
	}
	return place{name: NameOf(path), number: 1, root: path, own: ".", defined: true}.at(file)
}

// onlyFile chooses the ONNX file of a folder.
func (r *Repository) onlyFile(path string, entries []fs.DirEntry) (string, error) {
	for _, name := range []string{weightsFile, filepath.Join(hubFolder, weightsFile)} {
		file := filepath.Join(path, name)
		if there, err := r.isFile(filepath.Dir(file), weightsFile); there || err != nil {
			return file, err
		}
	}
	var found []string
	for _, entry := range entries {
		if file := filepath.Join(path, entry.Name()); strings.EqualFold(filepath.Ext(file), ".onnx") {
			found = append(found, file)
		} else if is, err := r.isModelFolder(file); is && err == nil {
			return "", fmt.Errorf("%s is a repository of models, such as %s; use --repository.dir=%s, or name its models", path, entry.Name(), path)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("%s has no ONNX file; want %s or %s in it", path, weightsFile, filepath.Join("1", weightsFile))
	}
	return "", fmt.Errorf("%s has %d ONNX files; name one: %s", path, len(found), strings.Join(found[:min(len(found), maxFound)], ", "))
}

// isModelFolder reports whether a folder has a version with weights.
func (r *Repository) isModelFolder(dir string) (bool, error) {
	entries, err := r.files.ReadDir(dir)
	if err != nil {
		return false, err
	}
	return r.hasVersion(dir, entries)
}

// locateAdded finds the folder of a model that was added. The caller closes the tree.
func (r *Repository) locateAdded(p *place) (*Entry, *tree, error) {
	e := &Entry{Dir: filepath.Join(p.root, p.own), files: r.files, root: p.root, own: p.own, place: p}
	t, err := openTree(r.files, p.root)
	if err != nil {
		return nil, nil, r.absent(p.root, cmp.Or(p.file, p.own), p.name, err)
	}
	return e, t, nil
}

// findFile lists the only version of an added ONNX file.
func (r *Repository) findFile(e *Entry) error {
	p := e.place
	path := filepath.Join(p.root, p.file)
	there, err := r.isFile(filepath.Dir(path), filepath.Base(path))
	v := Version{p.number, path, err, p.file, p.sidecars}
	switch {
	case err != nil:
		e.Unreadable = append(e.Unreadable, v)
	case there:
		e.Versions = append(e.Versions, v)
	}
	return nil
}

// watch sets the files of an added ONNX file that its fingerprint includes: not all of a folder that may hold anything.
func (r *Repository) watch(t *tree, e *Entry) error {
	if e.place == nil || e.place.file == "" || len(e.Versions) == 0 {
		return nil
	}
	v := e.Versions[0]
	k, err := r.knownOf(t, e.place.name, v)
	if err != nil {
		return err
	}
	files := &sidecars{tree: t, folders: v.sidecars}
	e.watched = append([]string{v.name}, files.names()...)
	for _, location := range k.external {
		if name := filepath.Join(filepath.Dir(v.name), location); filepath.IsLocal(name) {
			e.watched = append(e.watched, name)
		}
	}
	return nil
}

// ViewSuffix is the end of the name of an image view: under it the Open Inference Protocol takes images for a model, and under the
// model's own name its tensors. Package internal/v2 has the views.
const ViewSuffix = ".image"

// NameOf derives a valid model name from the path of an ONNX file or folder, or from the name of a repository with slashes: that of
// the file without its extension, or for model.onnx that of the folder, without folders of versions and of the layout of
// Hugging Face. Characters that names must not have become hyphens.
func NameOf(path string) string {
	parts := strings.Split(strings.Trim(filepath.ToSlash(path), "/"), "/")
	last := parts[len(parts)-1]
	if ext := filepath.Ext(last); strings.EqualFold(ext, ".onnx") {
		parts[len(parts)-1] = strings.TrimSuffix(last, ext)
	}
	for len(parts) > 1 {
		last := strings.ToLower(parts[len(parts)-1])
		if n, err := strconv.Atoi(last); last != "model" && last != hubFolder && (err != nil || n < 1) && parts[len(parts)-2] != "snapshots" {
			break
		}
		parts = parts[:len(parts)-1]
		if parts[len(parts)-1] == "snapshots" && len(parts) > 1 { // models--ORG--NAME/snapshots/REVISION
			parts = parts[:len(parts)-1]
			repo := strings.Split(parts[len(parts)-1], "--")
			parts[len(parts)-1] = repo[len(repo)-1]
		}
	}
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return '-'
	}, parts[len(parts)-1])
	name = strings.Trim(name, "._-")
	if name = name[:min(len(name), 128)]; name == "" {
		return "model"
	}
	return name
}
