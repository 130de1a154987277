package proc

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPin(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer Stop(cmd)
	var all, one, got unix.CPUSet
	if err := unix.SchedGetaffinity(cmd.Process.Pid, &all); err != nil {
		t.Fatal(err)
	}
	for core := 0; one.Count() == 0; core++ {
		if all.IsSet(core) {
			one.Set(core)
		}
	}
	if err := Pin(cmd.Process.Pid, &one); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedGetaffinity(cmd.Process.Pid, &got); err != nil || got != one {
		t.Errorf("it has %v, %v; want %v", got, err, one)
	}
}

func TestPinOfAProcessThatIsGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := Pin(cmd.Process.Pid, &unix.CPUSet{}); err == nil {
		t.Error("it was pinned")
	}
}
