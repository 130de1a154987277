//go:build engine

package fleet

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// briefly sets short health intervals.
const briefly = "health: {canary: 1s, interval: 200ms, timeout: 1s, unready_timeout: 5s}\n"

// TestFrozenReplica: connections are accepted, and nothing is answered.
func TestFrozenReplica(t *testing.T) {
	for name, freeze := range map[string]func(t *testing.T, b *harness, id string){
		"replica paused (docker pause)": func(t *testing.T, b *harness, id string) {
			if out, err := exec.Command("docker", "pause", id).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		"replica stopped with SIGSTOP": func(t *testing.T, b *harness, id string) {
			if os.Getuid() != 0 {
				t.Skip("signaling a container's process needs root")
			}
			status, err := b.engine.Inspect(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(status.Pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		},
		"replica disconnected from its network": func(t *testing.T, b *harness, id string) {
			if out, err := exec.Command("docker", "network", "disconnect", "--force", b.name, id).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newHarness(t, two+"health: {timeout: 3s}\n")
			b.start(2)
			l := b.load()
			before := b.containers()
			start := time.Now()
			freeze(t, b, before["cpu-0"])
			b.until("not serving", func(s Status) bool { return s.Replicas[0].State != Ready })
			withdrawn := time.Since(start)
			b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
			full := time.Since(start)
			l.end().none(t).figure(t, name, full, fmt.Sprintf("out of service after %.2f s", withdrawn.Seconds()))
			if after := b.containers(); after["cpu-0"] == before["cpu-0"] || after["cpu-1"] != before["cpu-1"] {
				t.Errorf("containers %v became %v", before, after)
			}
		})
	}
}

// TestReplicaWithoutPredictions: /health and /ready succeed.
func TestReplicaWithoutPredictions(t *testing.T) {
	for mode, c := range map[string]struct {
		fault string
		may   int // limit of failed requests
	}{
		"timeout":  {"replica answers every prediction with 504", 1 << 30},
		"draining": {"replica answers every prediction with 503", 0},
		"hanging":  {"replica never answers a prediction", 0},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newHarnessOn(t, "", fakeServer(t), two+briefly)
			b.start(2)
			l := b.load()
			unhealthy := b.status().Replicas[0]
			start := time.Now()
			ask(t, http.MethodPost, unhealthy.URL+"/mode?to="+mode)
			b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
			full := time.Since(start)
			o := l.end()
			o.figure(t, c.fault, full, "with health.canary at 1 s")
			for _, a := range b.accesses() {
				if a.Status != http.StatusOK && (a.Replica != unhealthy.Name || c.may == 0) {
					t.Errorf("a request failed that it did not answer with 504: %+v", a)
				}
			}
			if s := b.status(); s.Replicas[1].Restarts != 0 {
				t.Errorf("the healthy replica was replaced: %+v", s.Replicas[1])
			}
		})
	}
}

// bomb is a 64×64 PNG that inflates to 256 MiB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var data bytes.Buffer
	w := zlib.NewWriter(&data)
	for zeros, left := make([]byte, 1<<20), 256; left > 0; left-- {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	png := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		png = binary.BigEndian.AppendUint32(png, uint32(len(data)))
		begin := len(png)
		png = append(append(png, kind...), data...)
		png = binary.BigEndian.AppendUint32(png, crc32.ChecksumIEEE(png[begin:]))
	}
	chunk("IHDR", []byte{0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0})
	chunk("IDAT", data.Bytes())
	chunk("IEND", nil)
	return png
}

func TestDecompressionBombs(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two)
	b.start(2)
	image := bomb(t)
	l := b.load()
	start := time.Now()
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() { _ = post(l.client, "http://"+b.address+"/predict", image) })
	}
	senders.Wait()
	took := time.Since(start)
	o := l.end()
	o.figure(t, "16 PNGs at once that inflate to 256 MiB", took, "until they were answered")
	o.atMost(t, 0.01)
	if s := b.status(); s.Replicas[0].Restarts+s.Replicas[1].Restarts > 0 {
		t.Errorf("a replica was replaced: %+v", s.Replicas)
	}
}

// atMost asserts that at most a share of the requests failed.
func (o outcome) atMost(t *testing.T, share float64) {
	t.Helper()
	if float64(o.failed) > share*float64(o.sent) {
		t.Errorf("%d of %d requests failed", o.failed, o.sent)
	}
}

// TestSlowClients: many connections that send little or nothing, or read nothing.
func TestSlowClients(t *testing.T) {
	for name, client := range map[string]func(c net.Conn, stop <-chan struct{}){
		"100 clients announce 64 MiB and send nothing": func(c net.Conn, stop <-chan struct{}) {
			_, _ = io.WriteString(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 67108864\r\n\r\n")
			<-stop
		},
		"100 clients send a byte a second": func(c net.Conn, stop <-chan struct{}) {
			_, _ = io.WriteString(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n")
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
					_, _ = io.WriteString(c, "x")
				}
			}
		},
		"100 clients read no answer": func(c net.Conn, stop <-chan struct{}) {
			_ = c.(*net.TCPConn).SetReadBuffer(1024)
			for { // until the socket is full
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
					_ = c.SetWriteDeadline(time.Now().Add(time.Second))
					_, _ = io.WriteString(c, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newHarness(t, two)
			b.start(2)
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for range 100 {
				c, err := net.Dial("tcp", b.address)
				if err != nil {
					t.Fatal(err)
				}
				clients.Go(func() {
					defer c.Close()
					client(c, stop)
				})
			}
			l := b.load()
			time.Sleep(5 * time.Second)
			o := l.end()
			close(stop)
			clients.Wait()
			o.figure(t, name, 0, "")
			o.atMost(t, 0.01)
		})
	}
}
