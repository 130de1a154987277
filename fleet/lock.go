package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"fovea/internal/fileutil"
)

// ErrRunning: another supervisor holds the socket, the state, or the fleet's name on the engine.
var ErrRunning = errors.New("another supervisor is running")

// lock takes an exclusive file lock for this process.
func lock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	release, err = fileutil.TryLock(path)
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", path, ErrRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return release, nil
}

// lockName locks a fleet's name on an engine for this process, whatever its socket, state folder and user: two
// supervisors of one fleet would remove each other's containers. The lock is an abstract Unix socket, which no file
// permission hides and which ends with the process. It holds within a network namespace, which supervisors must share
// anyway to reach replicas on 127.0.0.1. Its name contains the engine's ID, which is known only to those with access to
// the engine.
func lockName(ctx context.Context, engine Runtime, fleet string) (release func(), err error) {
	info, err := engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "unixgram", "@fovea/"+info.ID+"/"+fleet)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("name: %w: it supervises fleet %s on this engine with another socket and state", ErrRunning, fleet)
	}
	if err != nil {
		return nil, fmt.Errorf("name: lock: %w", err)
	}
	return func() { _ = conn.Close() }, nil
}
