package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// attempt is something that a hardened container must prevent, or must allow.
type attempt struct {
	name string
	try  func() error
}

// attempts are in the order in which they are made: some need the file that an earlier one wrote to /tmp.
var attempts = []attempt{
	{"write /", write("/x")},
	{"write /usr/local/bin", write("/usr/local/bin/x")},
	{"write /etc", write("/etc/x")},
	{"write /models", write("/models/x")},
	{"write /run/secrets", write("/run/secrets/x")},
	{"write a secret", write("/run/secrets/token")},
	{"write /tmp", write("/tmp/x")},
	{"write /dev/shm", write("/dev/shm/x")},
	{"remove the server", func() error { return os.Remove("/usr/local/bin/serve") }},
	{"execute from /tmp", executeFromTmp},
	{"fill /tmp", fillTmp},
	{"become root", raw(syscall.SYS_SETUID, 0)},
	{"chown a file to root", func() error { return os.Chown("/tmp/x", 0, 0) }},
	{"mount", func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") }},
	{"remount / writable", func() error { return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") }},
	{"create a device", func() error { return syscall.Mknod("/tmp/sda", syscall.S_IFBLK|0o600, 8<<8) }},
	{"new user namespace", raw(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER)},
	{"raw socket", func() error {
		_, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		return err
	}},
	{"load a kernel module", raw(syscall.SYS_INIT_MODULE, 0)},
	{"change the clock", func() error { return syscall.Settimeofday(&syscall.Timeval{Sec: 1}) }},
	{"raise the file limit", raiseFileLimit},
	{"read the kernel log", func() error { _, err := syscall.Klogctl(3, make([]byte, 64)); return err }},
	{"docker socket", func() error { _, err := os.Stat("/var/run/docker.sock"); return err }},
}

// makeAttempts returns the outcome of each attempt.
func makeAttempts() map[string]string {
	runtime.LockOSThread() // never unlocked: the thread, which may have changed, ends with the goroutine
	outcomes := map[string]string{}
	for _, a := range attempts {
		outcomes[a.name] = outcome(a.try())
	}
	return outcomes
}

func outcome(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "allowed"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

func raw(call, argument uintptr) func() error {
	return func() error {
		if _, _, errno := syscall.RawSyscall(call, argument, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
}

func write(path string) func() error {
	return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
}

func executeFromTmp() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/tmp/program", self, 0o700); err != nil { //nolint:gosec // G306: executing it is the attempt
		return errors.New("could not be written: " + err.Error())
	}
	defer os.Remove("/tmp/program") //nolint:errcheck // the container is removed soon
	return exec.CommandContext(context.Background(), "/tmp/program", "environment").Run()
}

// fillTmp writes up to 1 GiB.
func fillTmp() error {
	file, err := os.Create("/tmp/big") //nolint:gosec // G303: nothing else runs in the container
	if err != nil {
		return err
	}
	defer os.Remove("/tmp/big") //nolint:errcheck // the container is removed soon
	defer file.Close()
	block := make([]byte, 1<<20)
	for range 1024 {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	return nil
}

func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Max++
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
