package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fovea/internal/config"
)

// Gate is what a new version has to reach on held-out images before it replaces the one that is served.
type Gate struct {
	// Images is a folder with a folder of images per class, named like the labels. It is relative to the model's folder, or absolute.
	Images       string        `yaml:"images"`
	MinAccuracy  float64       `yaml:"min_accuracy"`  // the lowest share of images whose best class is that of their folder; 0: any
	MaxDrop      float64       `yaml:"max_drop"`      // by how much that share may be below that of the served version
	MinAgreement float64       `yaml:"min_agreement"` // the lowest agreement with the served version's predictions; 0: any
	Limit        int           `yaml:"limit"`         // images that are compared, at even distances of all; default 1000
	Timeout      time.Duration `yaml:"timeout"`       // default 10m

	HasMaxDrop bool // MaxDrop is given, also as 0
}

// Defined reports whether there is a gate.
func (g Gate) Defined() bool { return g != Gate{} }

// ByClass reports whether the gate needs to know the class of each image.
func (g Gate) ByClass() bool { return g.MinAccuracy > 0 || g.HasMaxDrop }

// MinGateImages is how many images a gate judges by at least: with fewer, one image would decide.
const MinGateImages = 200

// Limits of a gate and its images.
const (
	defaultGateLimit   = 1000
	defaultGateTimeout = 10 * time.Minute
	maxGateLimit       = 10_000
	maxGateTimeout     = 24 * time.Hour
	maxImageEntries    = 1_000_000 // files and folders
	maxImageFolders    = 16        // that are nested
	maxGateImage       = 64 << 20  // bytes of an image
)

func (g *Gate) fill(given func(key string) bool) {
	g.HasMaxDrop = g.HasMaxDrop || given("versions.gate.max_drop")
	if !given("versions.gate") {
		return
	}
	fillValue(&g.Limit, defaultGateLimit, given("versions.gate.limit"))
	fillValue(&g.Timeout, defaultGateTimeout, given("versions.gate.timeout"))
}

func (d *Definition) checkGate(errs *config.Errors) {
	g := d.Versions.Gate
	if !g.Defined() {
		return
	}
	const key = "versions.gate"
	onlyWith(errs, key, !d.Task.IsCompared(), "a task with classes or boxes")
	if g.Images == "" {
		errs.Add(key+".images", "is required: a folder with a folder of images per class")
	} else if !filepath.IsAbs(g.Images) && !filepath.IsLocal(g.Images) {
		errs.Add(key+".images", "%q is neither a folder in the model's folder nor an absolute path", g.Images)
	}
	config.Range(errs, key+".min_accuracy", g.MinAccuracy, 0, 1)
	config.Range(errs, key+".max_drop", g.MaxDrop, 0, 1)
	config.Range(errs, key+".min_agreement", g.MinAgreement, 0, 1)
	config.Range(errs, key+".limit", g.Limit, MinGateImages, maxGateLimit)
	config.Range(errs, key+".timeout", g.Timeout, time.Second, maxGateTimeout)
	if !g.ByClass() && g.MinAgreement == 0 {
		errs.Add(key, "needs min_accuracy, max_drop or min_agreement")
	}
	if d.Task.FindsObjects() {
		onlyWith(errs, key+".min_accuracy", g.MinAccuracy > 0, "task: classification; use min_agreement")
		onlyWith(errs, key+".max_drop", g.HasMaxDrop, "task: classification; use min_agreement")
	}
}

// imageExtensions are those of the formats that the server decodes, in lower case. A server may be built without the last ones.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}

// IsImage reports whether a file's name is that of an image.
func IsImage(name string) bool {
	return !strings.HasPrefix(path.Base(name), ".") && slices.Contains(imageExtensions, strings.ToLower(path.Ext(name)))
}

// ImageFolder is an open folder of images. Its rule for links is that of repositories.
type ImageFolder struct {
	Names []string // of the images, sorted, in the folder

	tree *tree
	own  string // the folder, in the tree
}

// GateFolder returns the path of the folder of the gate's images; empty without a gate.
func (e *Entry) GateFolder() string {
	dir := e.Definition.Versions.Gate.Images
	if dir == "" || filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(e.Dir, dir)
}

// GateImages opens the folder of the gate's images. The error names the key. Close must be called.
func (e *Entry) GateImages() (*ImageFolder, error) {
	const key = "versions.gate.images"
	root, own := e.root, filepath.Join(e.own, e.Definition.Versions.Gate.Images)
	if dir := e.Definition.Versions.Gate.Images; filepath.IsAbs(dir) {
		root, own = dir, "."
	}
	t, err := openTree(e.files, root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	f := &ImageFolder{tree: t, own: own}
	if err := f.find(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", key, err), t.Close())
	}
	return f, nil
}

// Close closes the folder.
func (f *ImageFolder) Close() error { return f.tree.Close() }

// Read reads an image.
func (f *ImageFolder) Read(name string) ([]byte, error) {
	data, err := readFile(folder{f.tree, f.own}, name, maxGateImage)
	if err != nil {
		return nil, fmt.Errorf("versions.gate.images: %w", atPath(filepath.Join(f.tree.dir, f.own, name), err))
	}
	return data, nil
}

// find lists the images of the folder and its folders, without names that begin with a dot.
func (f *ImageFolder) find() error {
	entries := 0
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		if depth > maxImageFolders {
			return fmt.Errorf("%s: more than %d folders are nested", filepath.Join(f.tree.dir, f.own, dir), maxImageFolders)
		}
		list, err := f.list(dir)
		if err != nil {
			return err
		}
		if entries += len(list); entries > maxImageEntries {
			return fmt.Errorf("%s has more than %d files", filepath.Join(f.tree.dir, f.own), maxImageEntries)
		}
		for _, entry := range list {
			name := filepath.Join(dir, entry.Name())
			switch {
			case strings.HasPrefix(entry.Name(), "."):
			case entry.IsDir():
				err = walk(name, depth+1)
			case IsImage(name):
				f.Names = append(f.Names, name)
			case entry.Type()&fs.ModeSymlink != 0: // perhaps to a folder
				err = f.followed(name, depth, walk)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(".", 0)
	slices.Sort(f.Names)
	return err
}

// followed walks a link that leads to a folder.
func (f *ImageFolder) followed(name string, depth int, walk func(string, int) error) error {
	file, _, err := f.tree.open(filepath.Join(f.own, name))
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.IsDir() {
		return err
	}
	return walk(name, depth+1)
}

func (f *ImageFolder) list(dir string) ([]fs.DirEntry, error) {
	file, at, err := f.tree.open(filepath.Join(f.own, dir))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	list, err := file.ReadDir(maxImageEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, atPath(at, withoutPath(err))
	}
	return list, nil
}

// GateIdentity changes with the gate, and when images are added to a folder of its images or removed from it. It is empty without a
// gate, and after the gate a constant if the folder cannot be read.
func (e *Entry) GateIdentity() string {
	g := e.Definition.Versions.Gate
	if !g.Defined() {
		return ""
	}
	dir := e.GateFolder()
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", g)
	changed := func(dir string) {
		if info, err := e.files.Stat(dir); err == nil && info.IsDir() {
			fmt.Fprintf(&b, " %s %d", dir, info.ModTime().UnixNano())
		}
	}
	changed(dir)
	entries, err := e.files.ReadDir(dir)
	if err != nil {
		return b.String() + " unreadable"
	}
	for _, entry := range entries[:min(len(entries), maxGateLimit)] {
		if entry.IsDir() || entry.Type()&fs.ModeSymlink != 0 {
			changed(filepath.Join(dir, entry.Name()))
		}
	}
	return b.String()
}
