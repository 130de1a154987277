// Command escape attempts, from inside a container, what a hardened container must not allow, and prints one line
// per attempt: its name, a tab, and the outcome ("allowed" or the system's error). It is a test helper, linked
// statically, so that it runs in an image without a shell or a matching C library. With the argument
// "environment" it attempts nothing and prints the environment that the server was started with.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "environment" {
		environment()
		return
	}
	runtime.LockOSThread() // attempts to change credentials affect one thread
	attempts := []struct {
		name string
		try  func() error
	}{
		{"write /", write("/escape")},
		{"write /usr/local/bin", write("/usr/local/bin/escape")},
		{"write /etc", write("/etc/escape")},
		{"write /models", write("/models/escape")},
		{"remove the server", func() error { return os.Remove("/usr/local/bin/serve") }},
		{"write /tmp", write("/tmp/escape")},
		{"execute from /tmp", executeFromTmp},
		{"fill /tmp", fillTmp},
		{"become root", func() error { return errnoOf(syscall.RawSyscall(syscall.SYS_SETUID, 0, 0, 0)) }},
		{"chown a file to root", func() error { return os.Chown("/tmp/escape", 0, 0) }},
		{"mount", func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") }},
		{"remount / writable", func() error { return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") }},
		{"create a device", func() error { return syscall.Mknod("/tmp/sda", syscall.S_IFBLK|0o600, 8<<8) }},
		{"raw socket", rawSocket},
		{"new user namespace", func() error { return errnoOf(syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0)) }},
		{"load a kernel module", func() error { return errnoOf(syscall.RawSyscall(syscall.SYS_INIT_MODULE, 0, 0, 0)) }},
		{"change the clock", func() error { return syscall.Settimeofday(&syscall.Timeval{Sec: 1}) }},
		{"raise the file limit", raiseFileLimit},
		{"read the kernel log", func() error { _, err := syscall.Klogctl(3, make([]byte, 64)); return err }},
		{"signal another user's process", func() error { return errors.New("none visible: " + processes()) }},
	}
	for _, a := range attempts {
		report(a.name, a.try())
	}
	fmt.Printf("devices\t%s\n", devices())
	status()
	limits()
}

func report(name string, err error) {
	outcome := "allowed"
	if err != nil {
		var errno syscall.Errno
		if outcome = err.Error(); errors.As(err, &errno) {
			outcome = errno.Error()
		}
	}
	fmt.Printf("%s\t%s\n", name, outcome)
}

func errnoOf(_, _ uintptr, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func write(path string) func() error {
	return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
}

func executeFromTmp() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	const program = "/tmp/program" // no other process writes here
	if err := os.WriteFile(program, self, 0o700); err != nil {
		return err
	}
	err = exec.CommandContext(context.Background(), program, "environment").Run()
	return errors.Join(err, os.Remove(program))
}

// fillTmp writes up to 1 GiB.
func fillTmp() error {
	file, err := os.CreateTemp("/tmp", "big")
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for i := 0; i < 1024 && err == nil; i++ {
		_, err = file.Write(block)
	}
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

func rawSocket() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	if err == nil {
		err = syscall.Close(fd)
	}
	return err
}

func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Max++
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// processes returns the names of the processes visible in this container.
func processes() string {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	var seen []string
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			seen = append(seen, strings.TrimSpace(string(text)))
		}
	}
	return strings.Join(seen, " ")
}

// environment prints the server's environment, which the engine reports only in part, and its devices.
func environment() {
	text, err := os.ReadFile("/proc/1/environ")
	if err != nil {
		text = []byte(err.Error())
	}
	fmt.Printf("environment\t%s\n", strings.Join(strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 }), " "))
	fmt.Printf("devices\t%s\n", devices())
}

// devices lists the device nodes under /dev, without the terminals that the engine creates for each container.
func devices() string {
	var found []string
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&fs.ModeDevice != 0 && !strings.HasPrefix(path, "/dev/pts/") {
			found = append(found, strings.TrimPrefix(path, "/dev/"))
		}
		return nil
	})
	return strings.Join(found, " ")
}

// status prints the credentials and restrictions of process 1, the server.
func status() {
	file, err := os.Open("/proc/1/status")
	if err != nil {
		report("status of the server", err)
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp":
			fmt.Printf("server %s\t%s\n", key, strings.Join(strings.Fields(value), " "))
		}
	}
}

// limits prints the limits of the container's control group, version 2 or 1.
func limits() {
	for _, limit := range []struct{ name, v2, v1 string }{
		{"processes", "pids.max", "pids/pids.max"},
		{"memory", "memory.max", "memory/memory.limit_in_bytes"},
		{"swap", "memory.swap.max", "memory/memory.memsw.limit_in_bytes"}, // version 1 includes memory
	} {
		version := "v2"
		text, err := os.ReadFile("/sys/fs/cgroup/" + limit.v2)
		if err != nil {
			version = "v1"
			text, err = os.ReadFile("/sys/fs/cgroup/" + limit.v1)
		}
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Printf("%s limit %s\t%s\n", limit.name, version, strings.TrimSpace(string(text)))
	}
}
