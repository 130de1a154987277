package pairs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"fovea/tools/bench/proc"

	"golang.org/x/sys/unix"
)

const readyLimit = time.Minute

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
		address, err := proc.FreeAddress()
		if err != nil {
			return list, err
		}
		p := &process{base: "http://" + address.String(), cmd: exec.Command(v.Program, append(args(address.String()), v.Args...)...)}
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
		if err := proc.AwaitReady(ctx, p.base, readyLimit); err != nil {
			stopAll(list)
			return nil, fmt.Errorf("%s: %w; its log:\n%s", v.Name, err, p.log.String())
		}
	}
	return list, nil
}

// pin restricts a process that has just started to the nth of the cores that this one may use, modulo their number.
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
	return proc.Pin(pid, &one)
}

func stopAll(list []*process) {
	var commands []*exec.Cmd
	for _, p := range list {
		commands = append(commands, p.cmd)
	}
	proc.Stop(commands...)
}

func pidsOf(list []*process) []int {
	var pids []int
	for _, p := range list {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}
