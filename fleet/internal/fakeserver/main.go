// Command fakeserver is the server in a container image for tests of failing replicas. Its mode is its argument, or set
// while it runs by POST /mode?to=MODE:
//
//	ready     works
//	unready   /ready returns 503
//	failing   /ready returns 200, predictions return 500
//	timeout   /ready returns 200, predictions return 504
//	hanging   /ready returns 200, predictions get no response
//	draining  /ready returns 200, predictions return 503
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var mode atomic.Value
	mode.Store("ready")
	if len(os.Args) > 1 {
		mode.Store(os.Args[1])
	}
	server := &http.Server{Addr: ":8000", Handler: routes(&mode), ReadHeaderTimeout: 5 * time.Second}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		_ = server.Close()
	}()
	fmt.Println("fake server is", mode.Load())
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func routes(mode *atomic.Value) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"live","reasons":[]}`) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if mode.Load() == "unready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, `{"status":"unready","reasons":["never ready"]}`)
			return
		}
		fmt.Fprintln(w, `{"status":"ready","reasons":[]}`)
	})
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // The client may be gone.
		switch mode.Load() {
		case "failing":
			http.Error(w, `{"error":"CUDA error 700","code":"internal"}`, http.StatusInternalServerError)
		case "timeout":
			http.Error(w, `{"error":"deadline exceeded","code":"deadline_exceeded"}`, http.StatusGatewayTimeout)
		case "draining":
			http.Error(w, `{"error":"the server is shutting down","code":"draining"}`, http.StatusServiceUnavailable)
		case "hanging":
			<-r.Context().Done()
		default:
			fmt.Fprintln(w, `{"model":"fake","predictions":[]}`)
		}
	})
	mux.HandleFunc("POST /mode", func(_ http.ResponseWriter, r *http.Request) { mode.Store(r.URL.Query().Get("to")) })
	return mux
}
