package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// stranger is a user that owns nothing.
const stranger = 65532

// readerVariable names the repository that the test's own program reads as another user.
const readerVariable = "FOVEA_TEST_READ_AS_STRANGER"

// TestReadWithoutPermission is run by asStranger in a separate process.
func TestReadWithoutPermission(t *testing.T) {
	dir := os.Getenv(readerVariable)
	if dir == "" {
		t.Skip("is run by other tests, as another user")
	}
	names, err := Open(dir).Names()
	if err == nil {
		_, err = readAll(dir)
	}
	fmt.Printf("%v %v (permission: %v, absent: %v)\n", names, err, errors.Is(err, fs.ErrPermission), errors.Is(err, ErrNotFound))
}

// reader is a copy of the test's program that every user may run.
func reader(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(openFolder(t), "reader")
	if err := copyProgram(self, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// asStranger is what a user that owns nothing meets in a repository.
func asStranger(t *testing.T, program, dir string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, "-test.run=^TestReadWithoutPermission$", "-test.v")
	c.Dir, c.Env = "/", append(os.Environ(), readerVariable+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// openFolder is a new folder that every user can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fovea-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func TestDeniedNamesTheUser(t *testing.T) {
	program := reader(t)
	for part, mode := range map[string]fs.FileMode{
		"": 0o700, "m": 0o700, "m/1": 0o700, "m/model.yaml": 0o600, "m/labels.txt": 0o600, "m/self.png": 0o600,
		"m/1/model.onnx": 0o600, "m/1/w.data": 0o600, "m/1 that cannot be listed": 0o711, "m that cannot be searched": 0o744,
	} {
		t.Run(strings.ReplaceAll("models/"+part, "/", "_"), func(t *testing.T) {
			part, _, _ = strings.Cut(part, " ")
			dir := filepath.Join(openFolder(t), "models")
			for name, content := range map[string]string{"m/model.yaml": everyFile, "m/labels.txt": "a\nb", "m/self.png": "image",
				"m/1/model.onnx": string(addModel(kept("w.data", 0, 12))), "m/1/w.data": strings.Repeat("\x00", 12)} {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if out := asStranger(t, program, dir); !strings.Contains(out, "[m] <nil>") {
				t.Fatalf("readable to all: %s", out)
			}
			path := filepath.Join(dir, part)
			if err := errors.Join(os.Lchown(path, 1234, 4321), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
			out := asStranger(t, program, dir)
			for _, want := range []string{
				"permission denied", fmt.Sprintf("serve runs as uid %d, gid %d, which must be able to read it", stranger, stranger),
				fmt.Sprintf("%s has mode %04o and belongs to uid 1234, gid 4321", path, mode), "absent: false",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in %s", want, out)
				}
			}
			// Mistakes of a definition's keys are of text.
			if part != "m/labels.txt" && part != "m/self.png" && !strings.Contains(out, "permission: true") {
				t.Errorf("the cause is lost: %s", out)
			}
		})
	}
}
