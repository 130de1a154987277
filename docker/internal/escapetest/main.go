// Command escapetest reports, from inside a container, what the container allows. It is static, so that it runs in any image.
// Without arguments it serves HTTP on port 8000; with "deaf" it serves and ignores SIGTERM. With "attempts" it prints each
// outcome on a line, after its name and a tab; with "environment", what the container was started with. With "lines N" it writes
// N lines alternately to stdout and stderr, and exits with status 3.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch args := append(os.Args[1:], "", ""); args[0] {
	case "lines":
		os.Exit(lines(args[1]))
	case "attempts":
		report(makeAttempts())
		report(describeContainer())
		return
	case "environment":
		report(map[string]string{"environment": strings.Join(environment(), " "), "devices": strings.Join(devices(), " ")})
		return
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	server := &http.Server{Addr: ":8000", Handler: routes(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		for range term {
			if len(os.Args) < 2 || os.Args[1] != "deaf" {
				fmt.Println("stopping")
				_ = server.Close()
				return
			}
		}
	}()
	fmt.Println("listening")
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func report(outcomes map[string]string) {
	for name, outcome := range outcomes {
		fmt.Printf("%s\t%s\n", name, outcome)
	}
}

func lines(count string) int {
	n, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	for i := range n {
		fmt.Fprintf([]*os.File{os.Stdout, os.Stderr}[i%2], "line %d\n", i)
	}
	return 3
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(filepath.Clean("/" + r.URL.Query().Get("path")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(data) //nolint:gosec // G705: not a web page; read by a test
	})
	mux.HandleFunc("GET /attempts", func(w http.ResponseWriter, _ *http.Request) { answer(w, makeAttempts()) })
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		env := map[string]string{}
		for _, variable := range environment() {
			name, value, _ := strings.Cut(variable, "=")
			env[name] = value
		}
		answer(w, env)
	})
	mux.HandleFunc("GET /devices", func(w http.ResponseWriter, _ *http.Request) {
		devices, _ := filepath.Glob("/dev/nvidia*")
		answer(w, append([]string{}, devices...))
	})
	mux.HandleFunc("GET /dial", func(w http.ResponseWriter, r *http.Request) {
		dialer := net.Dialer{Timeout: 2 * time.Second}
		conn, err := dialer.DialContext(r.Context(), "tcp", r.URL.Query().Get("to"))
		if err == nil {
			err = conn.Close()
		}
		answer(w, outcome(err))
	})
	mux.HandleFunc("POST /memory", func(http.ResponseWriter, *http.Request) {
		var held [][]byte
		for {
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = 1
			}
			held = append(held, block)
			fmt.Fprint(io.Discard, len(held))
		}
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	if err := json.NewEncoder(w).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
