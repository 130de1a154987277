// Command impostor takes a server's place in a replica and misbehaves as tests tell it to. With no argument it is well;
// an argument, or POST /be?what=ARGUMENT on the running one, makes it
//
//	unready  /ready says 503
//	lying    /ready says 200, and predictions fail
//	late     /ready says 200, and predictions are answered with 504
//	endless  /ready says 200, and predictions are not answered
//	draining /ready says 200, and predictions are answered with 503
//
// GET /lies tells how many predictions it has failed.
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

type impostor struct {
	mood atomic.Value // string
	lies atomic.Int64
}

func main() {
	var i impostor
	i.mood.Store("well")
	if len(os.Args) > 1 {
		i.mood.Store(os.Args[1])
	}
	server := &http.Server{Addr: ":8000", Handler: i.routes(), ReadHeaderTimeout: 5 * time.Second}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		_ = server.Close()
	}()
	fmt.Println("an impostor is", i.mood.Load())
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (i *impostor) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"live","reasons":[]}`) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if i.mood.Load() == "unready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, `{"status":"unready","reasons":["it never is"]}`)
			return
		}
		fmt.Fprintln(w, `{"status":"ready","reasons":[]}`)
	})
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Who sent it may have gone.
		if i.mood.Load() == "lying" {
			i.lies.Add(1)
			http.Error(w, `{"error":"CUDA error 700","code":"internal"}`, http.StatusInternalServerError)
			return
		}
		switch i.mood.Load() {
		case "late":
			http.Error(w, `{"error":"no answer within the request's time","code":"deadline_exceeded"}`, http.StatusGatewayTimeout)
			return
		case "draining":
			http.Error(w, `{"error":"the server is shutting down","code":"draining"}`, http.StatusServiceUnavailable)
			return
		case "endless":
			<-r.Context().Done()
			return
		}
		fmt.Fprintln(w, `{"model":"impostor","predictions":[]}`)
	})
	mux.HandleFunc("POST /be", func(_ http.ResponseWriter, r *http.Request) { i.mood.Store(r.URL.Query().Get("what")) })
	mux.HandleFunc("GET /lies", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, i.lies.Load()) })
	return mux
}
