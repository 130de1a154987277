package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fovea/tools/bench/peers"
)

// server is a running bin/serve with one model.
type server struct {
	cmd  *exec.Cmd
	base string // http://127.0.0.1:port
	log  bytes.Buffer
}

// startServer runs the server's binary on a free port and waits until it is ready.
func startServer(ctx context.Context, o options) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	s := &server{base: "http://" + addr}
	if slices.ContainsFunc(o.ServeFlags, func(f string) bool { return strings.HasPrefix(f, "--http.tls.") }) {
		s.base = "https://" + addr
	}
	s.cmd = exec.Command(o.Serve, o.serveArgs(addr)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if o.ServeLog != "" {
		file, err := os.Create(o.ServeLog)
		if err != nil {
			return nil, err
		}
		s.cmd.Stdout, s.cmd.Stderr = file, file
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Serve, err)
	}
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w; the server's log:\n%s", err, s.log.String())
	}
	return s, nil
}

// probe opens a connection for each request.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
	InsecureSkipVerify: true, //nolint:gosec // G402: the server is this program's own
}}}

func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		resp, err := probe.Get(s.base + "/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the server was not ready within two minutes")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop terminates the server and kills it after ten seconds.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails if it has already exited
	timer := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait()
}

// usage is a process's resource usage.
type usage struct {
	CPU      time.Duration // user and system time of all threads
	Resident int64         // bytes
	Files    int           // open file descriptors
}

func (s *server) usage() (usage, error) { return usageOf(s.cmd.Process.Pid) }

func usageOf(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	cpu, err := peers.CPU(pid)
	if err != nil {
		return usage{}, fmt.Errorf("read the process's CPU time: %w", err)
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
