package apikey

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	one, two := New(), New()
	_, err := Parse([]byte("keys:\n"+Key{Name: "one", Hash: Hash(one), Scopes: []string{"predict"}}.Entry()+
		Key{Name: "two", Hash: strings.ToUpper(Hash(two)[7:]), Scopes: []string{"models"}}.Entry()), "keys.yaml")
	if err == nil {
		t.Fatal("a hash without its kind is accepted")
	}
	keys, err := Parse([]byte("keys:\n"+Key{Name: "one", Hash: Hash(one), Scopes: []string{"predict"}}.Entry()+
		Key{Name: "two", Hash: "sha256:" + strings.ToUpper(Hash(two)[7:]), Scopes: []string{"models"}}.Entry()), "keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{
		one: "one", two: "two", New(): "", "": "", prefix: "", one + "x": "", one[:len(one)-1]: "", " " + one[1:]: "", strings.ToUpper(one): "",
		one[:len(one)-1] + "\x00": "",
	} {
		got := ""
		if k := keys.Find(secret); k != nil {
			got = k.Name
		}
		if got != want {
			t.Errorf("%q: found %q, want %q", secret, got, want)
		}
	}
}

func TestNewKeysAreRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		secret := New()
		if seen[secret] || len(secret) != 49 || !strings.HasPrefix(secret, "fovea_") {
			t.Fatalf("%q", secret)
		}
		seen[secret] = true
	}
	// An independent computation: printf fovea_test | sha256sum
	if got := Hash("fovea_test"); got != "sha256:e3b1121fdb36af9242b7e671175a0e77e5fefee43db2ac5fb5562273747df8ce" {
		t.Error(got)
	}
}

func TestWhatKeysMay(t *testing.T) {
	k := &Key{Scopes: []string{"predict", "admin"}, Models: []string{"cats", "dogs"}}
	if !k.May(Predict) || !k.May(Admin) || k.May(Models) {
		t.Error("scopes")
	}
	if !k.MayUse("cats") || !k.MayUse("dogs") || k.MayUse("cat") || k.MayUse("catsy") || k.MayUse("") {
		t.Error("models")
	}
	if !(&Key{}).MayUse("any") {
		t.Error("a key without models may use all")
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	good := func(name string) string {
		return Key{Name: name, Hash: Hash(name), Scopes: []string{"predict"}}.Entry()
	}
	for name, test := range map[string]struct{ text, says string }{
		"an empty file":             {"", "is empty"},
		"a file without the list":   {"key: []\n", "keys.yaml: keys: is required"},
		"text":                      {"hello", "want keys and values"},
		"a list of texts":           {"keys: [a, b]\n", "want keys and values"},
		"an unknown key":            {"keys:\n" + good("a") + "    scope: x\n", "keys[0].scope: unknown key"},
		"a name that is used twice": {"keys:\n" + good("a") + strings.Replace(good("a"), Hash("a"), Hash("b"), 1), "keys.yaml:5:5: keys[1].name: is that of keys[0] as well"},
		"a hash that is used twice": {"keys:\n" + good("a") + strings.Replace(good("a"), `"a"`, "b", 1), "keys[1].hash: is that of keys[0] as well"},
		"no name":                   {"keys:\n  - hash: " + Hash("a") + "\n    scopes: [predict]\n", "keys[0].name"},
		"a name with a space":       {"keys:\n" + good("a b"), `keys[0].name: "a b" is not a name`},
		"a long name":               {"keys:\n" + good(strings.Repeat("a", 65)), "is not a name"},
		"no scopes":                 {"keys:\n  - name: a\n    hash: " + Hash("a") + "\n", "keys[0].scopes: is required: a list of predict, models, admin"},
		"an unknown scope":          {strings.Replace("keys:\n"+good("a"), "[predict]", "[predict, all]", 1), `keys[0].scopes[1]: "all" is not one of`},
		"a short hash":              {"keys:\n  - name: a\n    hash: sha256:abc\n    scopes: [predict]\n", "keys[0].hash: want sha256:"},
		"a hash that is no number":  {"keys:\n  - name: a\n    hash: sha256:" + strings.Repeat("x", 64) + "\n    scopes: [predict]\n", "keys[0].hash: want sha256:"},
		"an empty model":            {"keys:\n" + good("a") + "    models: [\"\"]\n", "keys[0].models[0]: is empty"},
		"a rate below zero":         {"keys:\n" + good("a") + "    rate: -1\n", "keys[0].rate: -1 is out of range"},
		"a burst without a rate":    {"keys:\n" + good("a") + "    burst: 5\n", "keys[0].burst: has no effect without rate"},
		"too many at the same time": {"keys:\n" + good("a") + "    concurrent: 100000\n", "keys[0].concurrent: 100000 is out of range"},
		"several errors":            {"keys:\n" + good("a b") + "    rate: -1\n" + good("c") + "    x: 1\n", "is not a name"},
	} {
		keys, err := Parse([]byte(test.text), "keys.yaml")
		if err == nil || keys != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "several errors" && (!strings.Contains(err.Error(), "rate") || !strings.Contains(err.Error(), "keys[1].x")) {
			t.Errorf("not all errors are reported: %v", err)
		}
	}
	if keys, err := Parse([]byte("keys: []\n"), "keys.yaml"); err != nil || len(keys.List()) != 0 {
		t.Errorf("no keys: %v", err)
	}
}

func TestAdd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	added := []Key{
		{Name: "one", Hash: Hash("one"), Scopes: []string{"predict", "models"}},
		{Name: "123", Hash: Hash("two"), Scopes: []string{"admin"}, Models: []string{"cats", "1"}, Rate: 0.5, Burst: 3, Concurrent: 2},
	}
	for i, k := range added {
		if err := Add(t.Context(), path, k); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // what an operator writes stays
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append([]byte("# of the cameras\n"), content[:len(content)-1]...), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := Parse(content, path)
	if err != nil || !reflect.DeepEqual(keys.List(), added) || !strings.HasPrefix(string(content), "# of the cameras\n") {
		t.Errorf("%v\n%s", err, content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: the file's mode does not stay", info.Mode(), err)
	}
	if err := Add(t.Context(), path, added[0]); err == nil || !strings.Contains(err.Error(), "keys[2].name: is that of keys[0] as well") {
		t.Errorf("a name that is taken: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || !slices.Equal(again, content) {
		t.Errorf("the file changes although nothing is added: %v", err)
	}
}

func TestAddToWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ text, says string }{
		"no keys yet":     {"keys: []\n", ""},
		"a list in a row": {"keys: [{name: a, hash: \"" + Hash("a") + "\", scopes: [predict]}]\n", "keys.yaml"},
		"a broken file":   {"keys: 1\n", "keys.yaml"},
	} {
		path := filepath.Join(dir, "keys.yaml")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Add(t.Context(), path, Key{Name: "new", Hash: Hash("new"), Scopes: []string{"predict"}})
		if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	link := filepath.Join(dir, "link.yaml")
	target := filepath.Join(t.TempDir(), "target.yaml")
	if err := os.WriteFile(target, []byte("keys: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Add(t.Context(), link, Key{Name: "new", Hash: Hash("new"), Scopes: []string{"predict"}}); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(target); err != nil || !strings.Contains(string(content), "new") {
		t.Errorf("the file behind a link: %v, %s", err, content)
	}
}

// FuzzParse checks that no content of the file causes a panic, and that what is accepted is found and can be added to.
func FuzzParse(f *testing.F) {
	secret := New()
	entry := Key{Name: "a", Hash: Hash(secret), Scopes: []string{"predict"}, Models: []string{"cats"}, Rate: 2, Burst: 3, Concurrent: 4}.Entry()
	for _, seed := range []string{"", "keys: []", "keys:\n" + entry, "keys:\n" + entry + entry, "keys: [a]", "keys: {a: b}", "keys:\n- name: 1\n", "keys:\n  - &a {}\n  - *a\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := Parse(content, "keys.yaml")
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, k := range keys.List() {
			if names[k.Name] || CheckName(k.Name) != nil || len(k.Scopes) == 0 {
				t.Errorf("accepted: %+v", k)
			}
			names[k.Name] = true
		}
		if k := keys.Find(secret); k != nil && Hash(secret) != strings.ToLower(k.Hash) {
			t.Errorf("found: %+v", k)
		}
	})
}
