package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const inheritVariable = "SUPERVISE_TEST_INHERIT"

// TestInheritedSockets runs itself with sockets as systemd passes them, and prints what it makes of them.
func TestInheritedSockets(t *testing.T) {
	if os.Getenv(inheritVariable) != "" {
		http, grpc, err := inherited()
		fmt.Printf("http %s, grpc %s, error %v\n", addressOf(http), addressOf(grpc), err)
		return
	}
	first, second := listenFile(t), listenFile(t)
	for name, c := range map[string]struct {
		names   string
		sockets []*os.File
		pid     string // LISTEN_PID; $$ is the process
		want    string
	}{
		"none":                     {"", nil, "", "http none, grpc none, error <nil>"},
		"of another process":       {"gateway", []*os.File{first}, "1", "http none, grpc none, error <nil>"},
		"HTTP":                     {"gateway", []*os.File{first}, "$$", "http FIRST, grpc none, error <nil>"},
		"HTTP, without a name":     {"", []*os.File{first}, "$$", "http FIRST, grpc none, error <nil>"},
		"HTTP and gRPC":            {"gateway:gateway-grpc", []*os.File{first, second}, "$$", "http FIRST, grpc SECOND, error <nil>"},
		"gRPC and HTTP":            {"gateway-grpc:gateway", []*os.File{first, second}, "$$", "http SECOND, grpc FIRST, error <nil>"},
		"gRPC alone":               {"gateway-grpc", []*os.File{first}, "$$", "http none, grpc FIRST, error <nil>"},
		"two for HTTP":             {"gateway:other", []*os.File{first, second}, "$$", "want at most one for HTTP"},
		"two for gRPC":             {"gateway-grpc:gateway-grpc", []*os.File{first, second}, "$$", "want at most one for HTTP"},
		"a file that is no socket": {"gateway", []*os.File{regular(t)}, "$$", "error inherited socket: "},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "sh", "-c", "LISTEN_PID="+c.pid+` exec "$0" -test.run='^TestInheritedSockets$'`, os.Args[0])
			cmd.Env = append(os.Environ(), inheritVariable+"=1", "LISTEN_FDS="+strconv.Itoa(len(c.sockets)), "LISTEN_FDNAMES="+c.names)
			cmd.ExtraFiles = c.sockets
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := strings.NewReplacer("FIRST", socketAddress(t, first), "SECOND", socketAddress(t, second)).Replace(c.want)
			if !strings.Contains(string(out), want) {
				t.Errorf("%q is not in %s", want, out)
			}
		})
	}
}

func addressOf(l net.Listener) string {
	if l == nil {
		return "none"
	}
	return l.Addr().String()
}

func listenFile(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the file keeps it open
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		t.Fatalf("a listener of type %T", l)
	}
	file, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func socketAddress(t *testing.T, file *os.File) string {
	t.Helper()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func regular(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}
