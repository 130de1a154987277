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

// lock takes a file for this process alone. The kernel gives it back when the process ends, however it ends. The file
// stays, since removing it would let two processes each lock one of the same name.
func lock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	release, err = fileutil.TryLock(path)
	switch {
	case errors.Is(err, fileutil.ErrLocked):
		return nil, fmt.Errorf("%s: %w", path, ErrRunning)
	case err != nil:
		return nil, fmt.Errorf("lock: %w", err)
	}
	return release, nil
}

// lockName takes a fleet's name on an engine for this process alone, whatever its socket, folders and user are: two
// supervisors of one name would each remove what the other makes. The lock is a socket's name that is in no file system,
// so that no permission hides it, and ends with the process. It holds within a network namespace, and a supervisor can
// work in one only: there, the replicas' ports on 127.0.0.1 are. Only who may ask the engine knows its ID, and so the name.
func lockName(ctx context.Context, engine Runtime, fleet string) (release func(), err error) {
	info, err := engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "unixgram", "@fovea/"+info.ID+"/"+fleet)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("name: %w: it keeps the fleet %s on this engine, by another socket and state", ErrRunning, fleet)
	}
	if err != nil {
		return nil, fmt.Errorf("name: lock: %w", err)
	}
	return func() { _ = conn.Close() }, nil
}
