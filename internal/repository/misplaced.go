package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Limits of the search for misplaced weights.
const (
	maxScanned   = 1000 // entries read per folder
	maxScanDepth = 3    // levels below a model's folder
	maxFound     = 3    // files reported per model
	maxFolders   = 20   // models reported
)

// weightsEndings are the extensions of weights in ONNX and in formats that are mistaken for it.
var weightsEndings = []string{".onnx", ".ort", ".pt", ".pth", ".safetensors", ".tflite", ".plan", ".engine", ".trt", ".pb",
	".h5", ".keras", ".mlmodel", ".gguf", ".pdmodel"}

// packedEndings are extensions of archives, which may follow. A file that is being fetched is not misplaced.
var packedEndings = []string{".gz", ".zip", ".xz", ".zst", ".bz2", ".7z", ".tar"}

// definitionNames are common wrong names of model.yaml, or that name in other case.
var definitionNames = []string{"model.yml", "config.yaml", "config.yml", "model.json", definitionFile}

func looksLikeWeights(name string) bool {
	name = strings.ToLower(filepath.Base(name))
	if ending := filepath.Ext(name); slices.Contains(packedEndings, ending) {
		name = strings.TrimSuffix(name, ending)
	}
	return !strings.HasPrefix(name, ".") && (slices.Contains(weightsEndings, filepath.Ext(name)) || name == "pytorch_model.bin")
}

// Misplaced lists files that look like models but are in the wrong place: weights or a definition directly in the repository,
// a folder with weights that are not served for lack of a model.yaml, and version folders without model.onnx next to others with one. For models without
// any version see Entry.Misplaced. Unreadable folders are skipped.
func (r *Repository) Misplaced() []error {
	if r.dir == "" {
		return nil
	}
	entries := newScan(r.dir).list("")
	found := r.misplacedAtRoot(entries)
	for _, entry := range entries {
		if isFolder(filepath.Join(r.dir, entry.Name())) && len(found) < maxFolders {
			found = append(found, r.misplacedIn(entry.Name())...)
		}
	}
	return found
}

// MisplacedModel lists misplaced files that may be the model of that name.
func (r *Repository) MisplacedModel(name string) []error {
	if r.dir == "" || r.addedPlace(name) != nil {
		return nil
	}
	return append(r.misplacedIn(name), r.misplacedAtRoot(newScan(r.dir).list(""))...)
}

// misplacedAtRoot searches the repository's own folder. If that is a model's folder, its versions are not reported.
func (r *Repository) misplacedAtRoot(entries []fs.DirEntry) (found []error) {
	if path := filepath.Join(r.dir, definitionFile); isFile(path) {
		return []error{fmt.Errorf("%s is directly in the repository, where it defines no model; if %s is a model's folder, "+
			"set repository.dir to its parent", path, r.dir)}
	}
	for _, entry := range entries {
		path := filepath.Join(r.dir, entry.Name())
		if looksLikeWeights(entry.Name()) && !isFolder(path) && len(found) < maxFound {
			want := filepath.Join(r.dir, "NAME", "1", weightsFile)
			if r.infer == nil {
				want += " and " + filepath.Join(r.dir, "NAME", definitionFile)
			}
			found = append(found, fmt.Errorf("%s is directly in the repository; want %s", path, want))
		}
	}
	return found
}

// misplacedIn searches one folder of the repository.
func (r *Repository) misplacedIn(name string) []error {
	dir := filepath.Join(r.dir, name)
	is, err := present(filepath.Join(dir, definitionFile))
	switch {
	case err != nil:
		return nil
	case is || r.isInferred(dir):
		if found := unserved(dir); len(found) > 0 {
			return []error{fmt.Errorf("model %s has a version that is not served: %s", name, strings.Join(found, ", "))}
		}
		return nil
	case versionNumber(name) > 0 && isFile(filepath.Join(r.dir, definitionFile)):
		return nil // see misplacedAtRoot
	}
	found := newScan(dir).weights("", maxScanDepth)
	if len(found) == 0 {
		return nil
	}
	missing := definitionFile
	if r.infer != nil {
		missing += " or " + filepath.Join("1", weightsFile)
	}
	text := fmt.Sprintf("%s has weights but no %s, and is ignored: %s", dir, missing, strings.Join(found, ", "))
	if isFile(filepath.Join(dir, "config.pbtxt")) {
		text += "; config.pbtxt is Triton's and is not used"
	}
	entries := newScan(dir).list("")
	if i := slices.IndexFunc(entries, func(entry fs.DirEntry) bool { return slices.Contains(definitionNames, strings.ToLower(entry.Name())) }); i >= 0 {
		text += "; the definition must be named " + definitionFile + ", not " + entries[i].Name()
	}
	return []error{errors.New(text)}
}

// isInferred reports whether a folder without model.yaml is a model nevertheless.
func (r *Repository) isInferred(dir string) bool {
	if r.infer == nil {
		return false
	}
	is, err := r.isUndefined(dir)
	return is || err != nil
}

// Misplaced lists files that look like weights of a model without versions; empty: none.
func (e *Entry) Misplaced() string {
	if len(e.Versions) > 0 || e.Dir == "" { // not misplaced, or shipped and not installed
		return ""
	}
	return strings.Join(newScan(e.Dir).weights("", maxScanDepth), ", ")
}

// misnamedVersion matches names that are meant as versions: v1, 01, version-1.
var misnamedVersion = regexp.MustCompile(`^(?i:v|ver|version)?[-_.]?\d+$`)

// unserved lists weights that are not served although another version is: in version folders without model.onnx or with a wrong
// name, and a model.onnx in no version folder.
func unserved(dir string) (found []string) {
	s, serves, used := newScan(dir), false, false
	flat, _ := os.Stat(filepath.Join(dir, weightsFile)) // nil: there is none
	for _, entry := range s.list("") {
		is, err := present(filepath.Join(dir, entry.Name(), weightsFile))
		switch {
		case err != nil || !misnamedVersion.MatchString(entry.Name()):
		case is && versionNumber(entry.Name()) > 0:
			version, err := os.Stat(filepath.Join(dir, entry.Name(), weightsFile))
			serves, used = true, used || err == nil && os.SameFile(version, flat)
		default:
			found = append(found, s.weights(entry.Name(), 0)...)
		}
	}
	if !serves {
		return nil
	}
	if flat != nil && flat.Mode().IsRegular() && !used { // otherwise a version is a link to it
		found = append(found, filepath.Join(dir, weightsFile)+wrongPlace(weightsFile))
	}
	return found
}

// scan reads a folder and those below it, up to maxScanned entries.
type scan struct {
	dir  string
	left int
}

func newScan(dir string) *scan { return &scan{dir, maxScanned} }

// list returns the beginning of a folder, sorted, without names that begin with a dot; empty if it cannot be read.
func (s *scan) list(rel string) []fs.DirEntry {
	f, err := os.Open(filepath.Join(s.dir, rel))
	if err != nil || s.left <= 0 {
		return nil
	}
	defer f.Close()
	entries, err := f.ReadDir(s.left)
	if err != nil {
		return nil
	}
	s.left -= len(entries)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
}

// weights lists files that look like weights, each with what is wrong with its path.
func (s *scan) weights(rel string, depth int) (found []string) {
	for _, entry := range s.list(rel) {
		name := filepath.Join(rel, entry.Name())
		path := filepath.Join(s.dir, name)
		switch {
		case len(found) >= maxFound:
			return found[:maxFound]
		case !isFolder(path) && looksLikeWeights(name):
			found = append(found, path+wrongPlace(name))
		case isFolder(path) && depth > 0:
			found = append(found, s.weights(name, depth-1)...)
		}
	}
	return found
}

// wrongPlace describes what is wrong with the path of weights in a model's folder.
func wrongPlace(rel string) string {
	folder, file := filepath.Dir(rel), filepath.Base(rel)
	switch {
	case folder == ".":
		return " (must be in a version folder, such as " + filepath.Join("1", weightsFile) + ")"
	case strings.Contains(folder, string(filepath.Separator)):
		return " (too deep; want " + filepath.Join("NAME", "1", weightsFile) + " in the repository)"
	case versionNumber(folder) == 0:
		return fmt.Sprintf(" (a version folder is named by an integer, such as 1, not %q)", folder)
	case file == weightsFile:
		return ""
	case strings.HasSuffix(strings.ToLower(file), ".onnx"):
		return " (must be named " + weightsFile + ")"
	}
	return " (must be an ONNX file named " + weightsFile + ")"
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// present reports whether there is a regular file or a link of that name.
func present(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0), err
}
