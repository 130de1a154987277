// Command replica is the whole content of an image for tests: a server that reports its health as Fovea's does, without
// a GPU, and that says that it lost its GPU when the folder of models holds a file named lost at its start or later, until
// the container is made anew. With a file named deaf it answers no images then.
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
	lostFile = "/models/lost"
	deafFile = "/models/deaf"
)

type engine struct{}

func (engine) Ready() []string { return nil }
func (engine) Broken() error   { return nil }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	born := time.Now()
	detached := func(context.Context) error {
		stat, err := os.Stat(lostFile)
		if err != nil || stat.ModTime().Before(born) {
			return nil // What happened before this container was made took nothing from it.
		}
		if _, err := os.Stat(deafFile); err == nil {
			return fmt.Errorf("%w: no such GPU", health.ErrGPULost)
		}
		return health.ErrGPUDetached
	}
	monitor := health.New(engine{}, slog.Default(), health.Cached("cuda:0", detached, 100*time.Millisecond, time.Second))
	monitor.Loaded()
	server := &http.Server{Addr: ":8000", Handler: routes(monitor), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background()) // The container's end is the bound.
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func routes(monitor *health.Monitor) *http.ServeMux {
	mux := http.NewServeMux()
	tell := func(well func(health.Report) bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			report := monitor.Report()
			if !well(report) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_ = json.NewEncoder(w).Encode(report) // Who asked has gone.
		}
	}
	mux.HandleFunc("GET /health", tell(health.Report.Live))
	mux.HandleFunc("GET /ready", tell(health.Report.Ready))
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, _ *http.Request) {
		if !monitor.Report().Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, `{"predictions":[]}`)
	})
	return mux
}
