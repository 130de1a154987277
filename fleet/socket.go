package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// listenUnix listens for the control API. The lock is held, so a socket that is there is nobody's.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	switch stat, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("socket: %w", err)
	case stat.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("socket: %s is there and is no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return listener, nil
}

// endControl lets answers under way be sent; what still goes on then is cut off.
func endControl(api *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := api.Shutdown(ctx); err != nil {
		_ = api.Close() // Its listener is closed already.
	}
}
