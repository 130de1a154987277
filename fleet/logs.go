package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// showLogs writes a replica's last lines, and goes on with them if asked to.
func (s *Supervisor) showLogs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	tail, err := strconv.Atoi(query.Get("tail"))
	if err != nil || tail < 0 || tail > maxTail {
		tail = 100
	}
	container, lines, err := s.logOf(r, query.Get("replica"))
	if err != nil {
		respond(w, r, func(*http.Request) (any, error) { return nil, err })
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if container == "" {
		for _, line := range lines {
			fmt.Fprintln(w, line) //nolint:gosec // G705: it is plain text
		}
		return
	}
	if query.Get("follow") == "true" {
		if err := s.deps.Engine.FollowLogs(r.Context(), container, tail, flusher{w}); err != nil && r.Context().Err() == nil {
			fmt.Fprintln(w, "supervise:", err)
		}
		return
	}
	if lines, err = s.deps.Engine.Logs(r.Context(), container, tail); err != nil {
		lines = []string{"supervise: " + err.Error()}
	}
	for _, line := range lines {
		fmt.Fprintln(w, line) //nolint:gosec // G705: it is plain text
	}
}

// logOf finds a replica's container, or the last lines of the one that ended.
func (s *Supervisor) logOf(r *http.Request, name string) (container string, lines []string, err error) {
	_, err = s.ask(r, func() error {
		for _, placement := range s.machine.placements {
			if !placement.named(name) {
				continue
			}
			lines = placement.logs
			for _, replica := range placement.replicas() {
				if container == "" || replica.id == name || replica.name == name {
					container = replica.container
				}
			}
			return nil
		}
		return statusError{http.StatusNotFound, fmt.Errorf("no replica is named %q", name)}
	})
	return container, lines, err
}

// flusher passes on each write at once.
type flusher struct{ w http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	return n, errors.Join(err, http.NewResponseController(f.w).Flush())
}
