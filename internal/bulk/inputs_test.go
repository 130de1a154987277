package bulk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lay writes empty files below a folder.
func lay(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func find(t *testing.T, paths ...string) (names, rels []string, errs map[string]string) {
	t.Helper()
	list, err := Find(paths, strings.NewReader("stdin's image"), 100)
	if err != nil {
		t.Fatal(err)
	}
	errs = map[string]string{}
	for _, in := range list {
		names, rels = append(names, in.Name), append(rels, in.Rel)
		if in.Err != nil {
			errs[in.Name] = in.Err.Error()
		}
	}
	return names, rels, errs
}

func TestImagesAreFound(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	lay(t, dir, "a/2.jpg", "a/1.PNG", "a/sub/3.webp", "a/notes.txt", "a/.hidden.jpg", "a/.git/4.jpg", "b/1.jpg", "b/empty/x.txt", "top.jpg", "-", "-.jpg")
	for link, to := range map[string]string{"a/linked.jpg": "../top.jpg", "a/folder": "../b", "a/gone.jpg": "none", "linked": "b"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	ofA := []string{"a/1.PNG", "a/2.jpg", "a/gone.jpg", "a/linked.jpg", "a/sub/3.webp"}
	for name, c := range map[string]struct{ paths, names, rels []string }{
		"a folder, at any depth":              {[]string{"a"}, ofA, []string{"1.PNG", "2.jpg", "gone.jpg", "linked.jpg", "sub/3.webp"}},
		"a folder by a longer path":           {[]string{"./b/../a/"}, ofA, []string{"1.PNG", "2.jpg", "gone.jpg", "linked.jpg", "sub/3.webp"}},
		"files, also of other names":          {[]string{"a/2.jpg", "a/notes.txt"}, []string{"a/2.jpg", "a/notes.txt"}, []string{"2.jpg", "notes.txt"}},
		"two folders with a name in common":   {[]string{"b", "a/sub", "a/1.PNG"}, []string{"b/1.jpg", "a/sub/3.webp", "a/1.PNG"}, []string{"b/1.jpg", "a/sub/3.webp", "a/1.PNG"}},
		"folders whose names begin alike":     {[]string{filepath.Join(dir, "b"), filepath.Join(dir, "b/empty/x.txt")}, []string{dir + "/b/1.jpg", dir + "/b/empty/x.txt"}, []string{"1.jpg", "empty/x.txt"}},
		"an image twice":                      {[]string{"b/1.jpg", "./b/1.jpg", "b"}, []string{"b/1.jpg"}, []string{"1.jpg"}},
		"a link to a folder":                  {[]string{"linked"}, []string{"linked/1.jpg"}, []string{"1.jpg"}},
		"standard input":                      {[]string{"-", "b", "-"}, []string{"-", "b/1.jpg"}, []string{"stdin", "1.jpg"}},
		"a file that is named like it":        {[]string{"./-", "a/../-.jpg"}, []string{"./-", "-.jpg"}, []string{"-", "-.jpg"}},
		"a folder without images and no file": {[]string{"b/empty", "none.jpg"}, []string{"b/empty", "none.jpg"}, []string{"", ""}},
	} {
		names, rels, _ := find(t, c.paths...)
		if !slices.Equal(names, c.names) || !slices.Equal(rels, c.rels) {
			t.Errorf("%s: %q at %q", name, names, rels)
		}
	}
	_, _, errs := find(t, "b/empty", "none.jpg", "b")
	if errs["none.jpg"] != "no such file or directory" || !strings.Contains(errs["b/empty"], "no images") || len(errs) != 2 {
		t.Errorf("%q", errs)
	}
}

func TestFoldersOfTheOutputAreLeftOut(t *testing.T) {
	t.Chdir(t.TempDir())
	lay(t, ".", "1.jpg", "seen/1.jpg", "seen/sub/2.jpg", "seen2/3.jpg", "a/seen/4.jpg")
	if err := os.Symlink("seen", "link"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ paths, outputs, want []string }{
		"below a folder":                  {[]string{"."}, []string{"seen"}, []string{"1.jpg", "a/seen/4.jpg", "seen2/3.jpg"}},
		"by another path":                 {[]string{"."}, []string{"a/../link", "seen2"}, []string{"1.jpg", "a/seen/4.jpg"}},
		"one that does not exist":         {[]string{"a"}, []string{"none"}, []string{"a/seen/4.jpg"}},
		"one that is asked for by itself": {[]string{"seen"}, []string{"seen"}, []string{"seen/1.jpg", "seen/sub/2.jpg"}},
	} {
		list, err := Find(c.paths, nil, 100, c.outputs...)
		var names []string
		for _, in := range list {
			names = append(names, in.Name)
		}
		if err != nil || !slices.Equal(names, c.want) {
			t.Errorf("%s: %q, %v", name, names, err)
		}
	}
}

func TestUnreadableFolderIsListedWithItsError(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every folder")
	}
	dir := t.TempDir()
	lay(t, dir, "a/1.jpg", "locked/2.jpg")
	if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
		t.Fatal(err)
	}
	names, _, errs := find(t, dir)
	if len(names) != 2 || errs[filepath.Join(dir, "locked")] != "permission denied" {
		t.Errorf("%q %q", names, errs)
	}
}

func TestNamesAreReadByLineOrByZeroByte(t *testing.T) {
	for text, want := range map[string][]string{
		"a.jpg\nb c.jpg\r\n\nd.jpg": {"a.jpg", "b c.jpg", "d.jpg"},
		"a.jpg\x00b\nc.jpg\x00":     {"a.jpg", "b\nc.jpg"},
		"":                          nil,
	} {
		if got, err := ReadNames(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestReadIsLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.jpg")
	if err := os.WriteFile(path, make([]byte, 100), 0o644); err != nil {
		t.Fatal(err)
	}
	in := Input{Name: path}
	if data, err := in.read(100, new([]byte)); err != nil || len(data) != 100 {
		t.Errorf("at the limit: %d bytes, %v", len(data), err)
	}
	if _, err := in.read(99, new([]byte)); err == nil || !strings.Contains(err.Error(), "more than 99 bytes") {
		t.Errorf("beyond the limit: %v", err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "-"), []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(path))
	if list, err := Find([]string{"./-"}, nil, 9); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	} else if data, err := list[0].read(9, new([]byte)); err != nil || string(data) != "image" {
		t.Errorf("a file that is named like standard input: %q %v", data, err)
	}
	if _, err := Find([]string{"-"}, strings.NewReader("0123456789"), 9); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("standard input beyond the limit: %v", err)
	}
	if _, err := (&Input{Name: "none.jpg"}).read(9, new([]byte)); err == nil || err.Error() != "no such file or directory" {
		t.Errorf("a file that is gone: %v", err)
	}
}
