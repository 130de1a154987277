package pairs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readyLimit = time.Minute
	stopLimit  = 10 * time.Second
)

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	base string // http://127.0.0.1:port
	log  bytes.Buffer
}

// start runs all processes of a variant and waits until they are ready. args are the arguments of one at an address.
func start(ctx context.Context, v Variant, args func(address string) []string) (list []*process, err error) {
	defer func() {
		if err != nil {
			stopAll(list)
		}
	}()
	for i := range v.Processes {
		address, err := freeAddress()
		if err != nil {
			return list, err
		}
		p := &process{base: "http://" + address, cmd: exec.Command(v.Program, append(args(address), v.Args...)...)}
		p.cmd.Env = append(os.Environ(), v.Env...)
		p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
		if err := p.cmd.Start(); err != nil {
			return list, fmt.Errorf("%s: start %s: %w", v.Name, v.Program, err)
		}
		list = append(list, p)
		if v.Pinned {
			if err := pin(p.cmd.Process.Pid, i); err != nil {
				return list, fmt.Errorf("%s: %w", v.Name, err)
			}
		}
	}
	for _, p := range list {
		if err := p.awaitReady(ctx); err != nil {
			stopAll(list)
			return nil, fmt.Errorf("%s: %w; its log:\n%s", v.Name, err, p.log.String())
		}
	}
	return list, nil
}

// pin restricts a process that has just started to the nth of the cores that this one may use, modulo their number. Threads
// that it creates later inherit that.
func pin(pid, n int) error {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	n %= all.Count()
	for cpu := 0; ; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if n == 0 {
			one.Set(cpu)
			break
		}
		n--
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return fmt.Errorf("pin process %d: %w", pid, err)
	}
	for _, task := range tasks {
		var tid int
		if _, err := fmt.Sscan(task.Name(), &tid); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &one); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
	}
	return nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/ready", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %s", readyLimit)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stopAll terminates processes, and kills those that take longer than stopLimit.
func stopAll(list []*process) {
	for _, p := range list {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it has already exited
	}
	for _, p := range list {
		timer := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
		_ = p.cmd.Wait() // the exit status is meaningless here
		timer.Stop()
	}
}

func pidsOf(list []*process) []int {
	var pids []int
	for _, p := range list {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}
