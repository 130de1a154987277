package httpserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// frame makes a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload string) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}, payload...)
}

// arriving returns the reader of a connection on which pieces of data arrive, of sizes that next returns.
func arriving(data []byte, next func() int) *frameReader {
	return &frameReader{receive: func(into func() []byte, wait func()) (int, error) {
		if into(); wait != nil {
			wait()
		}
		n := copy(into(), data[:min(len(data), next())])
		if data = data[n:]; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}}
}

// readFrames reads frames as net/http does: the header, then the payload.
func readFrames(r io.Reader) (frames []string, err error) {
	for {
		header := make([]byte, frameHeaderSize)
		if _, err := io.ReadFull(r, header); err != nil {
			return frames, err
		}
		payload := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
		if _, err := io.ReadFull(r, payload); err != nil {
			return frames, err
		}
		frames = append(frames, string(append(header, payload...)))
	}
}

func TestJoinedFrames(t *testing.T) {
	const headers, settings, padded = 1, 4, 8
	for _, test := range []struct {
		name       string
		sent, want [][]byte
	}{
		{"of one stream, up to its end", [][]byte{frame(dataFrame, 0, 1, "ab"), frame(dataFrame, 0, 1, "c"), frame(dataFrame, endStream, 1, "d")}, [][]byte{frame(dataFrame, endStream, 1, "abcd")}},
		{"not of two streams", [][]byte{frame(dataFrame, 0, 1, "ab"), frame(dataFrame, 0, 3, "c"), frame(dataFrame, 0, 1, "d")}, [][]byte{frame(dataFrame, 0, 1, "ab"), frame(dataFrame, 0, 3, "c"), frame(dataFrame, 0, 1, "d")}},
		{"not after the stream's end", [][]byte{frame(dataFrame, endStream, 1, "ab"), frame(dataFrame, 0, 1, "c")}, [][]byte{frame(dataFrame, endStream, 1, "ab"), frame(dataFrame, 0, 1, "c")}},
		{"not with padding", [][]byte{frame(dataFrame, 0, 1, "ab"), frame(dataFrame, padded, 1, "\x01c "), frame(dataFrame, 0, 1, "d")}, [][]byte{frame(dataFrame, 0, 1, "ab"), frame(dataFrame, padded, 1, "\x01c "), frame(dataFrame, 0, 1, "d")}},
		{"not across other frames", [][]byte{frame(dataFrame, 0, 1, "ab"), frame(settings, 0, 0, "123456"), frame(dataFrame, 0, 1, "d")}, [][]byte{frame(dataFrame, 0, 1, "ab"), frame(settings, 0, 0, "123456"), frame(dataFrame, 0, 1, "d")}},
		{"not other kinds", [][]byte{frame(headers, 0, 1, "ab"), frame(headers, 0, 1, "c")}, [][]byte{frame(headers, 0, 1, "ab"), frame(headers, 0, 1, "c")}},
		{"without content", [][]byte{frame(dataFrame, 0, 1, ""), frame(dataFrame, 0, 1, ""), frame(dataFrame, endStream, 1, "")}, [][]byte{frame(dataFrame, endStream, 1, "")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readFrames(arriving(bytes.Join(test.sent, nil), func() int { return blockSize }))
			if want := string(bytes.Join(test.want, nil)); strings.Join(got, "") != want || !errors.Is(err, io.EOF) {
				t.Errorf("got %q, %v\nwant %q", got, err, want)
			}
		})
	}
}

// flat is what frames mean: the content of each stream, where it ends, and the other frames, in order.
func flat(frames []string) string {
	var b strings.Builder
	last := ""
	for _, f := range frames {
		if f[3] != dataFrame || f[4]&^endStream != 0 {
			fmt.Fprintf(&b, "|%q", f)
			last = ""
			continue
		}
		if stream := f[5:9]; stream != last {
			fmt.Fprintf(&b, "|%q:", stream)
			last = stream
		}
		b.WriteString(f[9:])
		if f[4] == endStream {
			b.WriteString("|end")
			last = ""
		}
	}
	return b.String()
}

// However a connection's bytes arrive, and whatever they are, the frames mean the same joined and not.
func FuzzJoinedFrames(f *testing.F) {
	f.Add([]byte{}, uint64(1), 10)
	f.Add(bytes.Repeat(frame(dataFrame, 0, 1, strings.Repeat("x", 100)), 50), uint64(2), 60)
	f.Add(append(frame(1, 4, 1, "headers"), bytes.Repeat(frame(dataFrame, 0, 1, strings.Repeat("x", 16<<10)), 40)...), uint64(3), 100_000)
	f.Add(append(frame(dataFrame, 0, 1, strings.Repeat("x", 3*blockSize)), frame(dataFrame, endStream, 1, "y")...), uint64(4), 200_000)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, most int) {
		random := rand.New(rand.NewPCG(seed, 0))
		most = 1 + max(most, 0)%(2*blockSize)
		want, plain := readFrames(bytes.NewReader(data))
		got, joined := readFrames(arriving(bytes.Clone(data), func() int { return 1 + random.IntN(most) }))
		if flat(got) != flat(want) {
			t.Errorf("%d frames became %d others", len(want), len(got))
		}
		if len(got) > len(want) || plain == nil || joined == nil {
			t.Errorf("%d frames became %d; %v, %v", len(want), len(got), plain, joined)
		}
	})
}

// A connection that waits holds no block, and its deadline and its end are seen.
func TestFramesOfASocket(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r := newFrameReader(server)
	if r == nil {
		t.Fatal("a TCP connection is read without blocks")
	}
	_ = server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := r.Read(make([]byte, 9)); n != 0 || !isTimeout(err) || r.block != nil {
		t.Errorf("nothing has arrived: %d, %v; holds a block: %v", n, err, r.block != nil)
	}
	_ = server.SetReadDeadline(time.Time{})
	sent := frame(dataFrame, endStream, 1, strings.Repeat("x", 10*blockSize))
	go func() {
		_, _ = client.Write(sent)
		_ = client.Close()
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, sent) || r.block != nil {
		t.Errorf("%d bytes, %v; holds a block: %v", len(got), err, r.block != nil)
	}
	_ = server.Close()
	if _, err := r.Read(make([]byte, 9)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// Requests on HTTP/2 arrive whole, with frames of any size.
func TestSmallFrames(t *testing.T) {
	address := serve(t, nil)
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	want := strings.Repeat("0123456789", 60_000)
	for range 3 {
		response, err := client.Post("http://"+address+"/1", "image/jpeg", smallReads{strings.NewReader(want)})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != "HTTP/2.0 /1 "+want+";" {
			t.Errorf("%v, %d bytes", err, len(body))
		}
	}
}

// smallReads returns a few bytes at a time, of which the client makes frames.
type smallReads struct{ io.Reader }

func (s smallReads) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 7_000)]) }

// TestAnnouncedFrameSize: what a client learns about frames bounds the memory of both sides.
func TestAnnouncedFrameSize(t *testing.T) {
	const settings, maxFrameSize = 4, 5
	address := serve(t, func(*http.Server) {})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+string(frame(settings, 0, 0, ""))); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, frameHeaderSize)
	if _, err := io.ReadFull(conn, header); err != nil {
		t.Fatal(err)
	}
	values := make([]byte, lengthOf(header))
	if _, err := io.ReadFull(conn, values); err != nil || header[3] != settings {
		t.Fatal(header, err)
	}
	for ; len(values) > 0; values = values[6:] {
		if binary.BigEndian.Uint16(values) == maxFrameSize {
			if n := binary.BigEndian.Uint32(values[2:]); n != maxFrame {
				t.Errorf("frames of %d bytes are accepted, want %d", n, maxFrame)
			}
			return
		}
	}
	t.Error("no size of frames is announced")
}
