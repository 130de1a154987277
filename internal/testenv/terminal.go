package testenv

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal opens a pseudoterminal of a width (pty(7)). What is written to tty appears at the returned end.
func Terminal(t testing.TB, columns int) (end, tty *os.File) {
	t.Helper()
	end, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close() })
	fd := int(end.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: uint16(columns)})
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return end, tty
}

// OnTerminal runs a command whose standard output and standard error, unless set, are a terminal of a width. It returns what is written
// to the terminal, and the exit status.
func OnTerminal(t testing.TB, cmd *exec.Cmd, columns int) (text string, status int) {
	t.Helper()
	end, tty := Terminal(t, columns)
	if cmd.Stdout == nil {
		cmd.Stdout = tty
	}
	if cmd.Stderr == nil {
		cmd.Stderr = tty
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	var b Buffer
	buffer := make([]byte, 4096)
	for {
		n, err := end.Read(buffer)
		_, _ = b.Write(buffer[:n])
		if errors.Is(err, syscall.EIO) { // no process has the terminal any more
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // the status is returned
	return b.String(), cmd.ProcessState.ExitCode()
}
