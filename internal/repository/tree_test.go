package repository

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// everyFile is a definition that names all kinds of file.
const everyFile = good + "labels: labels.txt\nself_test: {image: self.png}\n"

// linked makes files and links (their names begin with a file's path) under a new folder, and returns it without links.
func linked(t *testing.T, files, links map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range links {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(strings.ReplaceAll(target, "ROOT", dir), path); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readAll reads all files of the model m of a repository.
func readAll(dir string) (w Weights, err error) {
	entry, err := Open(dir).Load("m")
	if err != nil {
		return w, err
	}
	if len(entry.Unreadable) > 0 {
		return w, entry.Unreadable[0].Err
	}
	if len(entry.Versions) == 0 {
		return w, errors.New("there is no version")
	}
	image, err := entry.SelfTestImage()
	if err != nil {
		return w, err
	}
	if string(image) != "image" || len(entry.Definition.Labels) != 2 {
		return w, errors.New("the files are others")
	}
	if _, err := entry.Fingerprint(entry.Versions[0]); err != nil {
		return w, err
	}
	return entry.Weights(entry.Versions[0])
}

func TestLinksThatStayInTheRepositoryAreFollowed(t *testing.T) {
	plain, external := string(addModel(nil)), string(addModel(kept("w.data", 0, 12)))
	data := strings.Repeat("\x00", 12)
	const rev, blobs = "hub/models--acme--m/snapshots/abc", "hub/models--acme--m/blobs"
	for name, c := range map[string]struct {
		root         string // of the repository
		files, links map[string]string
		at           string // the weights' place for ONNX Runtime, from the root
	}{
		"no links": {"", map[string]string{"m/model.yaml": everyFile, "m/labels.txt": "a\nb", "m/self.png": "image", "m/1/model.onnx": plain}, nil, "m/1/model.onnx"},
		"a Kubernetes volume over the model's folder": {"",
			map[string]string{"m/..2026_11/model.yaml": everyFile, "m/..2026_11/labels.txt": "a\nb", "m/..2026_11/self.png": "image", "m/..2026_11/1/model.onnx": external, "m/..2026_11/1/w.data": data},
			map[string]string{"m/..data": "..2026_11", "m/model.yaml": "..data/model.yaml", "m/labels.txt": "..data/labels.txt", "m/self.png": "..data/self.png", "m/1": "..data/1"},
			"m/..2026_11/1/model.onnx"},
		"a Kubernetes volume over the repository": {"",
			map[string]string{"..2026_11/m/model.yaml": everyFile, "..2026_11/m/labels.txt": "a\nb", "..2026_11/m/self.png": "image", "..2026_11/m/1/model.onnx": external, "..2026_11/m/1/w.data": data},
			map[string]string{"..data": "..2026_11", "m": "..data/m"}, "..2026_11/m/1/model.onnx"},
		"a Kubernetes volume over the version's folder": {"",
			map[string]string{"m/model.yaml": everyFile, "m/labels.txt": "a\nb", "m/self.png": "image", "m/1/..2026_11/model.onnx": external, "m/1/..2026_11/w.data": data},
			map[string]string{"m/1/..data": "..2026_11", "m/1/model.onnx": "..data/model.onnx", "m/1/w.data": "..data/w.data"},
			"m/1/..2026_11/model.onnx"},
		"files shared between models": {"",
			map[string]string{"m/model.yaml": everyFile, "shared/labels.txt": "a\nb", "shared/self.png": "image", "shared/r50.onnx": plain},
			map[string]string{"m/labels.txt": "../shared/labels.txt", "m/self.png": "ROOT/shared/self.png", "m/1/model.onnx": "ROOT/shared/r50.onnx"}, "shared/r50.onnx"},
		"a link that leaves and comes back": {"repo",
			map[string]string{"repo/m/model.yaml": everyFile, "repo/m/labels.txt": "a\nb", "repo/m/self.png": "image", "repo/w.onnx": plain},
			map[string]string{"repo/m/1/model.onnx": "../../../repo/w.onnx"}, "w.onnx"},
		"a repository that is a link": {"link",
			map[string]string{"real/m/model.yaml": everyFile, "real/m/labels.txt": "a\nb", "real/m/self.png": "image", "real/w.onnx": plain},
			map[string]string{"link": "real", "real/m/1/model.onnx": "ROOT/link/w.onnx"}, "../real/w.onnx"},
		"a snapshot of Hugging Face": {rev,
			map[string]string{blobs + "/01": everyFile, blobs + "/02": "a\nb", blobs + "/03": "image", blobs + "/04": plain},
			map[string]string{rev + "/m/model.yaml": "../../../blobs/01", rev + "/m/labels.txt": "../../../blobs/02", rev + "/m/self.png": "../../../blobs/03", rev + "/m/1/model.onnx": "../../../../blobs/04"},
			"../../blobs/04"},
		"a snapshot with external data": {rev,
			map[string]string{rev + "/m/model.yaml": everyFile, rev + "/m/labels.txt": "a\nb", rev + "/m/self.png": "image", blobs + "/04": external, blobs + "/05": data},
			map[string]string{rev + "/m/1/model.onnx": "../../../../blobs/04", rev + "/m/1/w.data": "../../../../blobs/05"}, "m/1/model.onnx"},
		"all of a model's snapshots": {"hub/models--acme--m/snapshots",
			map[string]string{blobs + "/01": everyFile, "hub/models--acme--m/snapshots/m/labels.txt": "a\nb", "hub/models--acme--m/snapshots/m/self.png": "image", blobs + "/04": plain},
			map[string]string{"hub/models--acme--m/snapshots/m/model.yaml": "../../blobs/01", "hub/models--acme--m/snapshots/m/1/model.onnx": "../../../blobs/04"},
			"../blobs/04"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(linked(t, c.files, c.links), c.root)
			names, err := Open(dir).Names()
			if err != nil || len(names) != 1 || names[0] != "m" {
				t.Errorf("the models are %v, %v", names, err)
			}
			w, err := readAll(dir)
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(dir, c.at); w.Path != want {
				t.Errorf("weights at %s, want %s", w.Path, want)
			}
		})
	}
}

func TestOtherLinksAreErrors(t *testing.T) {
	outside := linked(t, map[string]string{"labels.txt": "a\nb", "self.png": "image", "model.yaml": everyFile, "model.onnx": string(addModel(nil)),
		"w.data": strings.Repeat("\x00", 12), "m/model.yaml": everyFile}, nil)
	for _, part := range []string{"m", "m/model.yaml", "m/labels.txt", "m/self.png", "m/1", "m/1/model.onnx", "m/1/w.data"} {
		for kind, target := range map[string]string{
			"absolute": filepath.Join(outside, filepath.Base(part)), "relative": "", "dangling": "nowhere", "without end": filepath.Base(part),
		} {
			t.Run(part+" "+kind, func(t *testing.T) {
				files := map[string]string{"m/model.yaml": everyFile, "m/labels.txt": "a\nb", "m/self.png": "image",
					"m/1/model.onnx": string(addModel(kept("w.data", 0, 12))), "m/1/w.data": strings.Repeat("\x00", 12)}
				dir := linked(t, files, nil)
				if _, err := readAll(dir); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, part)
				if kind == "relative" {
					rel, err := filepath.Rel(filepath.Dir(path), filepath.Join(outside, filepath.Base(part)))
					if err != nil {
						t.Fatal(err)
					}
					target = rel
				}
				if part == "m/1" && kind != "dangling" && kind != "without end" { // a folder
					target = outside
				}
				if err := errors.Join(os.RemoveAll(path), os.Symlink(target, path)); err != nil {
					t.Fatal(err)
				}
				if names, err := Open(dir).Names(); err != nil || !slices.Equal(names, []string{"m"}) {
					t.Errorf("the models are %v, %v", names, err)
				}
				_, err := readAll(dir)
				if err == nil {
					t.Fatal("read")
				}
				wants := []string{path, target}
				switch kind {
				case "absolute", "relative":
					wants = append(wants, "is a link to ", "which is outside the repository "+dir, "links may only point to files in it")
				case "dangling":
					wants = append(wants, "is a link to nowhere, which does not exist")
				default:
					wants = []string{path, "loop of links"}
				}
				for _, want := range wants {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in %v", want, err)
					}
				}
				if errors.Is(err, ErrNotFound) {
					t.Error("it is taken for absent")
				}
			})
		}
	}
}

func TestBlobsOfAnotherModelAreOutside(t *testing.T) {
	dir := linked(t, map[string]string{"hub/a/snapshots/abc/m/model.yaml": everyFile, "hub/a/snapshots/abc/m/self.png": "image", "hub/b/blobs/01": "a\nb", "hub/a/blobs/sub/01": "a\nb"},
		map[string]string{"hub/a/snapshots/abc/m/labels.txt": "../../../../b/blobs/01"})
	root := filepath.Join(dir, "hub/a/snapshots/abc")
	_, err := Open(root).Load("m")
	if want := "or in " + filepath.Join(dir, "hub/a/blobs"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
}

// A pipe in a file's place must not block a reader until its other end opens.
func TestPipesAreNotOpened(t *testing.T) {
	for _, part := range []string{"m/model.yaml", "m/labels.txt", "m/self.png"} {
		dir := linked(t, map[string]string{"m/model.yaml": everyFile, "m/labels.txt": "a\nb", "m/self.png": "image", "m/1/model.onnx": "x"}, nil)
		path := filepath.Join(dir, part)
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(dir); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// A link that is exchanged between the look at it and the opening leads nowhere outside.
func TestReplacedLinksDoNotEscape(t *testing.T) {
	secret := filepath.Join(linked(t, map[string]string{"secret": "secret"}, nil), "secret")
	dir := linked(t, map[string]string{"m/real": "inside"}, map[string]string{"m/labels.txt": "real"})
	tr, err := openTree(osFiles{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	path, err := tr.resolve("m/labels.txt")
	if err != nil || path != filepath.Join(dir, "m/real") {
		t.Fatal(path, err)
	}
	// open looks at the name again; what it found is then opened through the root.
	_, rel, _ := tr.within(path)
	if err := errors.Join(os.Remove(path), os.Symlink(secret, path)); err != nil {
		t.Fatal(err)
	}
	if f, err := tr.root.OpenFile(rel, os.O_RDONLY, 0); err == nil {
		t.Error("opened ", f)
	}
}

func TestReplacedVolumeChangesTheFingerprint(t *testing.T) {
	model := string(addModel(nil))
	files := map[string]string{}
	for _, volume := range []string{"..1", "..2"} {
		files["m/"+volume+"/1/model.onnx"], files["m/"+volume+"/self.png"] = model, "image"
		files["m/"+volume+"/model.yaml"], files["m/"+volume+"/labels.txt"] = everyFile, "a\nb"
	}
	dir := linked(t, files, map[string]string{"m/..data": "..1", "m/model.yaml": "..data/model.yaml", "m/labels.txt": "..data/labels.txt",
		"m/self.png": "..data/self.png", "m/1": "..data/1"})
	when := time.Now()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, when, when) // size and time are the same
	})
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := func() string {
		entry, err := Open(dir).Load("m")
		if err != nil {
			t.Fatal(err)
		}
		text, err := entry.Fingerprint(entry.Versions[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := fingerprint()
	if again := fingerprint(); again != before {
		t.Errorf("without a change: %s, then %s", before, again)
	}
	next := filepath.Join(dir, "m/..data_tmp")
	if err := errors.Join(os.Symlink("..2", next), os.Rename(next, filepath.Join(dir, "m/..data"))); err != nil {
		t.Fatal(err)
	}
	if after := fingerprint(); after == before {
		t.Error("the exchanged volume is not seen")
	}
}
