// Command fakegpuserver is the server in a container image for tests: it reports its health as Fovea's server does,
// without a GPU. It reports a lost GPU if a file named lost is written to the models folder after its start, and stops
// answering images if there is also one named unready.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fovea/health"
)

const (
	lostFile    = "/models/lost"
	unreadyFile = "/models/unready"
)

type engine struct{}

func (engine) Ready() []string { return nil }
func (engine) Broken() error   { return nil }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	started := time.Now()
	check := func(context.Context) error {
		stat, err := os.Stat(lostFile)
		if err != nil || stat.ModTime().Before(started) {
			return nil // Files older than this container do not affect it.
		}
		if _, err := os.Stat(unreadyFile); err == nil {
			return fmt.Errorf("%w: no such GPU", health.ErrGPULost)
		}
		return health.ErrGPUDetached
	}
	monitor := health.New(engine{}, slog.Default(), health.Cached("cuda:0", check, 100*time.Millisecond, time.Second))
	monitor.Loaded()
	server := &http.Server{Addr: ":8000", Handler: routes(monitor), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background()) // The container's stop grace bounds it.
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func routes(monitor *health.Monitor) *http.ServeMux {
	mux := http.NewServeMux()
	report := func(ok func(health.Report) bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			current := monitor.Report()
			if !ok(current) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_ = json.NewEncoder(w).Encode(current) // The client may be gone.
		}
	}
	mux.HandleFunc("GET /health", report(health.Report.Live))
	mux.HandleFunc("GET /ready", report(health.Report.Ready))
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, _ *http.Request) {
		if !monitor.Report().Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, `{"predictions":[]}`)
	})
	return mux
}
