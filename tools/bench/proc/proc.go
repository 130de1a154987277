// Package proc is what the benchmarks need of processes: a free address for a server, its readiness and its end, and what
// the kernel says about a process.
package proc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"syscall"
	"time"
)

// StopLimit is how long a process may take to exit.
const StopLimit = 10 * time.Second

// FreeAddress returns an address of this machine on which nothing listens.
func FreeAddress() (*net.TCPAddr, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr), listener.Close()
}

// probe opens a connection for each request.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
	InsecureSkipVerify: true, //nolint:gosec // G402: the server is this program's own
}}}

// AwaitReady waits until a Fovea server at a base URL, such as http://127.0.0.1:8000, is ready.
func AwaitReady(ctx context.Context, base string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/ready", nil)
		if err != nil {
			return err
		}
		if resp, err := probe.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %s", limit)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop terminates processes, kills those that take longer than StopLimit, and waits for all.
func Stop(processes ...*exec.Cmd) {
	for _, p := range processes {
		_ = p.Process.Signal(syscall.SIGTERM) // fails if it has already exited
	}
	for _, p := range processes {
		timer := time.AfterFunc(StopLimit, func() { _ = p.Process.Kill() })
		_ = p.Wait() // the exit status is meaningless here
		timer.Stop()
	}
}
