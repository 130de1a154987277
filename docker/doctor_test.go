package docker

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckToolkit(t *testing.T) {
	for _, test := range []struct {
		version string
		err     error
		ok      bool
	}{
		{"1.19.1", nil, true}, {"1.19.2", nil, true}, {"1.20.0", nil, true}, {"2.0.0", nil, true}, {"1.19.10", nil, true},
		{"1.19.1-rc.1", nil, false}, {"1.19.0", nil, false}, {"1.9.9", nil, false}, {"1.18.2", nil, false}, {"1.19", nil, false}, {"", nil, false},
		{"", exec.ErrNotFound, false}, {"", errors.New("x"), false},
	} {
		if got := checkToolkit(test.version, test.err); got.OK != test.ok || got.OK != (got.Advice == "") {
			t.Errorf("%q, %v: got %+v", test.version, test.err, got)
		}
	}
}

func TestToolkitVersion(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"as NVIDIA's prints it", `echo "NVIDIA Container Toolkit CLI version 1.19.1"; echo "commit: 0123abc"`, "1.19.1"},
		{"before a release", `echo "NVIDIA Container Toolkit CLI version 1.20.0-rc.2"`, "1.20.0-rc.2"},
		{"something else", `echo "no idea"`, ""},
		{"a failure", `exit 3`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "nvidia-ctk"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir)
			got, err := installedToolkit(t.Context())
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := installedToolkit(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without the program: %v", err)
	}
}

func FuzzParseToolkit(f *testing.F) {
	for _, seed := range []string{"NVIDIA Container Toolkit CLI version 1.19.1\ncommit: 0123", "version: 1.2.3-rc.1", "version 99999.0.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if version := parseToolkit(text); version != "" && (!strings.Contains(text, version) || olderThan(version, "0.0.0") && !strings.Contains(version, "-rc")) {
			t.Errorf("read %q", version)
		}
	})
}

func TestCheckModels(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	for _, test := range []struct {
		name      string
		dir, file os.FileMode
		uid, gid  int
		ok        bool
	}{
		{"readable by all", 0o755, 0o644, uid + 1, gid + 1, true},
		{"readable by the group", 0o750, 0o640, uid + 1, gid, true},
		{"readable by the owner", 0o700, 0o600, uid, gid + 1, true},
		{"a file for the owner only", 0o755, 0o600, uid + 1, gid + 1, false},
		{"a folder that can be listed and not entered", 0o754, 0o644, uid + 1, gid + 1, false},
		{"the owner's bits count for the owner", 0o755, 0o044, uid, gid, false},
		{"the group's bits count for the group", 0o755, 0o604, uid + 1, gid, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(root, "model")
			file := filepath.Join(dir, "model.onnx")
			if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(file, nil, 0o644), os.Chmod(file, test.file), os.Chmod(dir, test.dir)); err != nil {
				t.Fatal(err)
			}
			got := checkModels(root, test.uid, test.gid)
			if got.OK != test.ok || got.OK != (got.Advice == "") {
				t.Errorf("got %+v", got)
			}
			if secret := checkSecret("s", file, test.uid, test.gid); test.ok && !secret.OK {
				t.Errorf("as a secret: %+v", secret)
			}
		})
	}
	for _, path := range []string{"/nowhere", os.Args[0]} {
		if got := checkModels(path, uid, gid); got.OK {
			t.Errorf("%s: got %+v", path, got)
		}
	}
	if got := checkSecret("s", t.TempDir(), uid, gid); got.OK {
		t.Errorf("a folder as a secret: %+v", got)
	}
}

func TestCheckSpec(t *testing.T) {
	if got := checkSpec(valid()); !got.OK {
		t.Errorf("a valid one: %+v", got)
	}
	root, linked := valid(), valid()
	root.UID = 0
	linked.ModelsDir = filepath.Join(t.TempDir(), "models")
	if err := os.Symlink("/etc", linked.ModelsDir); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Spec{root, linked} {
		if got := checkSpec(s); got.OK || !strings.Contains(got.Found, ErrUnsafe.Error()) {
			t.Errorf("%+v", got)
		}
	}
}

func TestCheckPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(listener.Addr())
	}
	if got := checkPort(address.Port); got.OK {
		t.Errorf("in use: %+v", got)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got := checkPort(address.Port); !got.OK {
		t.Errorf("free: %+v", got)
	}
}

func TestCheckCgroups(t *testing.T) {
	for _, test := range []struct {
		driver         string
		cdi, links, ok bool
	}{
		{"systemd", false, false, false}, {"systemd", true, false, true}, {"systemd", false, true, true}, {"cgroupfs", false, false, true},
	} {
		if got := checkCgroups(Info{CgroupDriver: test.driver}, test.cdi, test.links); got.OK != test.ok {
			t.Errorf("%+v: got %+v", test, got)
		}
	}
	if deviceLinks(t.TempDir()) {
		t.Error("links of no device were found")
	}
}

func TestCheckImage(t *testing.T) {
	good := Image{User: "65532:65532", Env: []string{"PATH=/bin"}, Labels: map[string]string{LabelCUDA: "13.0", LabelMinDriver: "580.65.06"}}
	if got := checkImage("x", good, nil); !got.OK || !strings.Contains(got.Found, "CUDA 13.0, driver 580.65.06") {
		t.Errorf("got %+v", got)
	}
	if got := checkImage("x", Image{}, fmt.Errorf("y: %w", ErrNoImage)); got.OK || !strings.Contains(got.Advice, "docker pull x") {
		t.Errorf("got %+v", got)
	}
	for _, test := range []struct {
		key    string
		change func(*Image)
	}{
		{"env: ", func(i *Image) { i.Env = []string{"LD_LIBRARY_PATH=/usr/local/cuda/lib64"} }},
		{"user: ", func(i *Image) { i.User = "" }},
		{"user: ", func(i *Image) { i.User = "root:1000" }},
		{"user: ", func(i *Image) { i.User = "00" }},
		{"volumes: ", func(i *Image) { i.Volumes = []string{"/data"} }},
	} {
		image := good
		test.change(&image)
		err := image.Check()
		if !errors.Is(err, ErrUnsafe) || !strings.HasPrefix(err.Error(), test.key) || checkImage("x", image, nil).OK {
			t.Errorf("%+v: got %v", image, err)
		}
	}
}

func TestCheckRootlessAndHardening(t *testing.T) {
	if checkRootless(Info{Rootless: true, CgroupVersion: "1"}).OK || !checkRootless(Info{Rootless: true, CgroupVersion: "2"}).OK ||
		!checkRootless(Info{}).OK || !checkRootless(Info{UserNamespaces: true}).OK {
		t.Error("wrong")
	}
	if checkHardening(Info{}).OK || !checkHardening(Info{Seccomp: "builtin", MemoryLimit: true, PidsLimit: true, CPUQuota: true}).OK {
		t.Error("wrong")
	}
}

func TestDoctorChecksTheEngine(t *testing.T) {
	find := func(checks []Check, name string) Check {
		for _, check := range checks {
			if check.Name == name {
				return check
			}
		}
		t.Fatalf("no check %q in %+v", name, checks)
		return Check{}
	}
	s := valid()
	if got := find(Doctor(t.Context(), "unix:///nowhere", s, ""), "Docker engine"); got.OK || !strings.Contains(got.Advice, "start it") {
		t.Errorf("got %+v", got)
	}
	denied := script{apiVersion: "1.45", routes: map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "no")
	}}}.serve(t)
	if got := find(Doctor(t.Context(), denied, s, ""), "Docker engine"); got.OK || !strings.Contains(got.Advice, "group docker") {
		t.Errorf("got %+v", got)
	}
}

func TestCheckModelsIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxEntries {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d", i)), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "unreadable"), nil, 0o000); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := checkModels(dir, 65532, 65532); !got.OK {
		t.Errorf("got %+v", got)
	}
}
