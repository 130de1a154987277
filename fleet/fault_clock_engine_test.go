//go:build engine && linux && amd64

package fleet

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// askClock replaces the vDSO function clock_gettime. It makes the system call, and adds the number of seconds stored
// behind it to the wall clock only.
var askClock = []byte{
	0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi; CLOCK_REALTIME is 0
	0x75, 10, // jne to the end
	0x48, 0x8b, 0x0d, 6, 0, 0, 0, // mov rcx, [rip+6]: the seconds
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3, 0xcc, 0xcc, // ret
}

// wallClock is the wall clock of one process, which a test can set.
type wallClock struct {
	t       *testing.T
	memory  *os.File
	seconds int64 // address of the offset in the process's memory
}

// runWithClock starts a supervisor whose wall clock can be set. The program is unchanged; only the vDSO is patched
// before its first instruction.
func (b *harness) runWithClock() *wallClock {
	b.t.Helper()
	runtime.LockOSThread() // Only the thread that starts a process may trace it.
	defer runtime.UnlockOSThread()
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(program, "run", "-f", b.file)
	c.Stderr, c.SysProcAttr = log, &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(c.Process.Pid, &status, 0, nil); err != nil || !status.Stopped() {
		b.t.Fatalf("the process did not stop at its start: %v, %v", status, err)
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.Process.Pid), os.O_RDWR, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = memory.Close() })
	at := clockFunction(b.t, c.Process.Pid, memory)
	if _, err := memory.WriteAt(append(askClock[:24:24], make([]byte, 8)...), at); err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.PtraceDetach(c.Process.Pid); err != nil {
		b.t.Fatal(err)
	}
	b.wait(c)
	return &wallClock{b.t, memory, at + int64(len(askClock))}
}

// clockFunction returns the function's address in a process.
func clockFunction(t *testing.T, pid int, memory *os.File) int64 {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var begin, end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &begin, &end); err != nil || !strings.Contains(line, "[vdso]") {
			continue
		}
		object := make([]byte, end-begin)
		if _, err := memory.ReadAt(object, begin); err != nil {
			t.Fatal(err)
		}
		file, err := elf.NewFile(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := file.DynamicSymbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			if s.Name == "__vdso_clock_gettime" {
				return begin + int64(s.Value)
			}
		}
	}
	t.Fatal("the vDSO has no clock_gettime")
	return 0
}

// set sets the clock's offset.
func (c *wallClock) set(wrong time.Duration) {
	c.t.Helper()
	seconds := binary.LittleEndian.AppendUint64(nil, uint64(int64(wrong/time.Second)))
	if _, err := c.memory.WriteAt(seconds, c.seconds); err != nil {
		c.t.Fatal(err)
	}
}

const year = 365 * 24 * time.Hour

func TestWallClockThatJumpsChangesNothing(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two)
	clock := b.runWithClock()
	b.until("two replicas are ready", func(s Status) bool { return s.Ready == 2 })
	l := b.load()
	start := time.Now()
	jump := func(wrong time.Duration) {
		clock.set(wrong)
		answered := b.count("cpu-0.1") + b.count("cpu-1.1")
		b.until("it keeps running", func(s Status) bool {
			return s.Ready == 2 && b.count("cpu-0.1")+b.count("cpu-1.1") > answered+20
		})
	}
	jump(year)
	if list := b.accesses(); time.Until(list[len(list)-1].Time) < year/2 {
		t.Fatalf("the supervisor did not see the clock jump: %+v", list[len(list)-1])
	}
	jump(-2 * year)
	before := b.containers()
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []time.Duration{year, -year, 0} { // during start, monitor and drain
		time.Sleep(500 * time.Millisecond)
		clock.set(wrong)
	}
	s := b.until("the rollout is complete", func(s Status) bool { return s.Rollout == nil })
	full := time.Since(start)
	l.end().none(t).figure(t, "wall clock jumps by years, back and forth", 0, fmt.Sprintf("%.2f s with a rollout", full.Seconds()))
	for _, r := range s.Replicas {
		if r.Restarts != 0 || r.State != Ready || r.Since > patience {
			t.Errorf("%+v", r)
		}
	}
	after := b.containers()
	clock.set(-year)
	b.stop(syscall.SIGTERM) // The saved state is a year old.
	b.run(b.command())
	b.until("the next supervisor has adopted them", func(s Status) bool { return s.Ready == 2 })
	if again := b.containers(); fmt.Sprint(again) != fmt.Sprint(after) || fmt.Sprint(after) == fmt.Sprint(before) {
		t.Errorf("containers %v became %v and then %v", before, after, again)
	}
}
