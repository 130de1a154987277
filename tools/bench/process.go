package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/tools/bench/proc"
)

// server is a running bin/serve with one model.
type server struct {
	cmd  *exec.Cmd
	base string // http://127.0.0.1:port
	log  bytes.Buffer
}

// startServer runs the server's binary on a free port and waits until it is ready.
func startServer(ctx context.Context, o options) (*server, error) {
	addr, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{base: "http://" + addr.String()}
	if slices.ContainsFunc(o.ServeFlags, func(f string) bool { return strings.HasPrefix(f, "--http.tls.") }) {
		s.base = "https://" + addr.String()
	}
	s.cmd = exec.Command(o.Serve, o.serveArgs(addr.String())...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if o.ServeLog != "" {
		file, err := os.Create(o.ServeLog)
		if err != nil {
			return nil, err
		}
		s.cmd.Stdout, s.cmd.Stderr = file, file
	}
	if err := o.start(s.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Serve, err)
	}
	if err := proc.AwaitReady(ctx, s.base, 2*time.Minute); err != nil {
		s.stop()
		return nil, fmt.Errorf("the server was %w; its log:\n%s", err, s.log.String())
	}
	return s, nil
}

func (s *server) stop() { proc.Stop(s.cmd) }

// usage is a process's resource usage.
type usage struct {
	CPU      time.Duration // user and system time of all threads
	Resident int64         // bytes
	Files    int           // open file descriptors
}

func (s *server) usage() (usage, error) { return usageOf(s.cmd.Process.Pid) }

func usageOf(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	cpu, err := proc.CPUOf(pid)
	if err != nil {
		return usage{}, err
	}
	memory, err := os.ReadFile(filepath.Join(dir, "statm"))
	if err != nil {
		return usage{}, fmt.Errorf("read the process's memory: %w", err)
	}
	var size, resident int64 // in pages
	_, err1 := fmt.Sscan(string(memory), &size, &resident)
	files, err2 := os.ReadDir(filepath.Join(dir, "fd"))
	return usage{CPU: cpu, Resident: resident * int64(os.Getpagesize()), Files: len(files)}, errors.Join(err1, err2)
}
