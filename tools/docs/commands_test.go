package docs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"

	"golang.org/x/sys/unix"
)

// TestCommands runs the commands of each page in a copy of the checkout, with a loopback interface to itself and no other network, so that
// the addresses are those of the page. It takes minutes, so it is only run where FOVEA_TEST_DOCS is set: make test-docs.
func TestCommands(t *testing.T) {
	if os.Getenv("FOVEA_TEST_DOCS") == "" {
		t.Skip("FOVEA_TEST_DOCS is not set; make test-docs runs the commands")
	}
	root := testenv.Root(t)
	list, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	copyCheckout(t, root, base)
	build := exec.Command("make", "build")
	build.Dir, build.Env = base, environment(base, "")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, output)
	}
	for _, page := range list {
		if !slices.ContainsFunc(page, func(b block) bool {
			return b.isCommands() && strings.HasPrefix(b.marker, "run") && !strings.HasPrefix(b.marker, "run by")
		}) {
			continue
		}
		t.Run(page[0].page, func(t *testing.T) { runPage(t, base, page) })
	}
}

// runPage runs a page's commands in a copy of a built checkout, and compares the answers that it shows.
func runPage(t *testing.T, base string, page []block) {
	t.Helper()
	dir, out := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	if prepare := given[page[0].page]; prepare != nil {
		prepare(t, dir)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script(page))
	cmd.Dir = dir
	cmd.Env = environment(dir, out)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // it stops its servers
	cmd.WaitDelay = 30 * time.Second
	if err := isolated(cmd.Run); errors.Is(err, unix.EPERM) {
		t.Skipf("this user may not make a network namespace: %v", err)
	} else if err != nil {
		i, _ := strconv.Atoi(strings.TrimSpace(read(t, out, "at")))
		t.Fatalf("%s: %v\n%s%s\n%s", page[i], err, page[i].text, read(t, out, strconv.Itoa(i)), read(t, out, strconv.Itoa(i)+".err"))
	}
	before := -1
	for i, b := range page {
		if b.isCommands() {
			before = i
		}
		if b.marker != "answer" {
			continue
		}
		if before < 0 || !strings.HasPrefix(page[before].marker, "run") {
			t.Errorf("%s: nothing is run before this answer", b)
		} else if printed := read(t, out, strconv.Itoa(before)); !sameAnswer(b.text, printed) {
			t.Errorf("%s: printed is\n%s", b, printed)
		}
	}
}

// environment is that of a shell without configuration of Fovea, with the checkout's programs.
func environment(dir, out string) []string {
	list := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "FOVEA_") || strings.HasPrefix(strings.ToLower(name), "http") || strings.HasPrefix(name, "MAKE")
	})
	servers := os.Getenv("FOVEA_TEST_SERVERS")
	path := strings.Join([]string{filepath.Join(dir, "bin"), filepath.Join(servers, "usr/sbin"), filepath.Join(servers, "usr/bin"), os.Getenv("PATH")}, ":")
	return append(list, "PATH="+path, "OUT="+out)
}

// isolated calls a function, whose processes have a separate network that has only a loopback interface. The thread is not used
// afterward.
func isolated(call func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		if err := loopbackUp(); err != nil {
			result <- err
			return
		}
		result <- call()
	}()
	return <-result
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// copyCheckout copies what git tracks or would track.
func copyCheckout(t *testing.T, root, dir string) {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	names, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimRight(string(names), "\x00"), "\x00")
	for _, name := range list {
		copyFile(t, filepath.Join(root, name), filepath.Join(dir, name))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return // deleted, but not yet in git's index
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Log(err)
	}
	return string(text)
}
