//go:build engine

package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fovea/docker"
	"fovea/internal/testenv"
)

// patience bounds every wait; none passes because of it.
const patience = 60 * time.Second

// bench is a fleet on a real engine, and its supervisor in a process of its own.
type bench struct {
	t        *testing.T
	dir      string
	file     string
	name     string
	engine   *docker.Client
	client   *Client
	listener *os.File
	address  string
	child    *exec.Cmd
	ended    chan error
}

// newBench writes a configuration, with what is particular to the test, and makes sure that nothing is left at the end.
func newBench(t *testing.T, particular string) *bench {
	t.Helper()
	ctx := context.Background()
	engine, err := docker.Open(ctx, "")
	if err != nil {
		t.Fatalf("these tests need a Docker engine: %v", err)
	}
	dir, err := os.MkdirTemp("", "fleet") // short, as a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: dir, file: filepath.Join(dir, "supervise.yaml"), name: "ft" + strings.ToLower(filepath.Base(dir))[5:],
		engine: engine, listener: file, address: listener.Addr().String()}
	_ = listener.Close() // The file keeps it open.
	b.client = NewClient(filepath.Join(dir, "s.sock"))
	b.configure(particular)
	t.Cleanup(b.clean)
	return b
}

func testImage() string {
	if name := os.Getenv("FOVEA_TEST_IMAGE"); name != "" {
		return name
	}
	return "fovea"
}

func (b *bench) configure(particular string) {
	b.t.Helper()
	text := fmt.Sprintf("name: %s\nimage: %s\nsocket: s.sock\nstate: state\nlimits: {memory: 1GiB, cpus: 1}\ngateway: {address: %q}\n%s\n",
		b.name, testImage(), b.address, particular)
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// start starts a supervisor and waits until so many replicas are ready.
func (b *bench) start(ready int) {
	b.t.Helper()
	b.child = exec.Command(os.Args[0])
	b.child.Env = append(os.Environ(), childFile+"="+b.file)
	b.child.ExtraFiles = []*os.File{b.listener}
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	b.child.Stderr = log
	if err := b.child.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.ended = make(chan error, 1)
	go func(c *exec.Cmd, ended chan error) { ended <- c.Wait() }(b.child, b.ended)
	b.until(fmt.Sprintf("%d replicas are ready", ready), func(s Status) bool { return s.Ready == ready })
}

// stop ends the supervisor by a signal.
func (b *bench) stop(signal syscall.Signal) {
	b.t.Helper()
	if err := b.child.Process.Signal(signal); err != nil {
		b.t.Fatal(err)
	}
	select {
	case err := <-b.ended:
		if signal == syscall.SIGTERM && err != nil {
			b.t.Errorf("the supervisor ended with %v", err)
		}
	case <-time.After(patience):
		b.t.Fatal("the supervisor does not end")
	}
	b.child = nil
}

// until waits for a status.
func (b *bench) until(what string, ok func(Status) bool) Status {
	b.t.Helper()
	var s Status
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s, err = b.client.Status(context.Background()); err == nil && ok(s) {
			return s
		}
	}
	log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	lines := strings.Split(string(log), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "msg=request") })
	b.t.Fatalf("still not: %s; status %+v, error %v; log:\n%s", what, s, err, strings.Join(lines, "\n"))
	return s
}

func (b *bench) status() Status {
	b.t.Helper()
	s, err := b.client.Status(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// containers are the IDs of the fleet's, by replica.
func (b *bench) containers() map[string]string {
	b.t.Helper()
	list, err := b.engine.List(context.Background(), map[string]string{docker.LabelOwner: b.name})
	if err != nil {
		b.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range list {
		ids[c.Labels[docker.LabelReplica]] = c.ID
	}
	return ids
}

func (b *bench) clean() {
	if b.child != nil {
		_ = b.child.Process.Kill()
		if err := <-b.ended; err == nil {
			b.t.Log("the supervisor had ended")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, id := range b.containers() {
		if err := b.engine.Remove(ctx, id); err != nil {
			b.t.Errorf("clean up: %v", err)
		}
	}
	if err := b.engine.RemoveNetwork(ctx, b.name, b.name); err != nil {
		b.t.Errorf("clean up: %v", err)
	}
	_ = b.engine.Close()
	_ = b.listener.Close()
	_ = os.RemoveAll(b.dir)
}

// load sends a picture to the gateway at a fixed rate.
type load struct {
	t       *testing.T
	stop    chan struct{}
	senders sync.WaitGroup
	client  *http.Client

	sent, failed atomic.Int64
	mu           sync.Mutex
	last         time.Time // of a good answer
	gap          time.Duration
	errors       map[string]int
}

const rate = 100 // a second

func (b *bench) load() *load {
	picture := testenv.Picture(b.t, "chelsea.jpg")
	l := &load{t: b.t, stop: make(chan struct{}), last: time.Now(), errors: map[string]int{},
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	l.senders.Go(func() {
		ticker := time.NewTicker(time.Second / rate)
		defer ticker.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
				l.senders.Go(func() { l.send("http://"+b.address+"/predict", picture) })
			}
		}
	})
	time.Sleep(time.Second)
	return l
}

func (l *load) send(url string, picture []byte) {
	l.sent.Add(1)
	response, err := l.client.Post(url, "image/jpeg", strings.NewReader(string(picture)))
	if err == nil {
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%d %s", response.StatusCode, body[:min(len(body), 60)])
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed.Add(1)
		l.errors[err.Error()]++
		return
	}
	l.gap = max(l.gap, time.Since(l.last))
	l.last = time.Now()
}

// end stops the load and says how it went. full is the time until full strength.
func (l *load) end(most int64, full time.Duration) {
	l.t.Helper()
	time.Sleep(time.Second)
	close(l.stop)
	l.senders.Wait()
	l.client.CloseIdleConnections()
	l.t.Logf("sent %d, failed %d, longest gap %s, full strength after %s", l.sent.Load(), l.failed.Load(),
		l.gap.Round(time.Millisecond), full.Round(time.Millisecond))
	for text, n := range l.errors {
		l.t.Logf("%d times: %s", n, text)
	}
	if l.failed.Load() > most {
		l.t.Errorf("more than %d requests failed", most)
	}
}
