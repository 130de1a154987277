package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"fovea/fleet/gateway"
)

// idleOptions are the flags of the verbs idle and idle-gateway.
type idleOptions struct {
	Clients int     // connections of each kind
	Rate    float64 // good requests a second meanwhile
	Kinds   string  // names with commas between; empty: all
	Via     string  // direct, gateway or both
	Listen  string  // of idle-gateway
	Replica string  // of idle-gateway
}

func (o *idleOptions) add(flags *flag.FlagSet) {
	flags.IntVar(&o.Clients, "clients", 2000, "idle connections of each kind")
	flags.Float64Var(&o.Rate, "rate", 20, "good requests a second meanwhile")
	flags.StringVar(&o.Kinds, "kinds", "", "kinds of idle clients, with commas between; empty: all")
	flags.StringVar(&o.Via, "via", "both", "direct, gateway or both")
	flags.StringVar(&o.Listen, "listen", "", "where idle-gateway listens")
	flags.StringVar(&o.Replica, "replica", "", "the server behind idle-gateway")
}

// settle is how long the idle connections are there before the first good request.
const settle = 2 * time.Second

// goodShare is the part of the good requests that must be answered with 200, whoever else is connected.
const goodShare = 0.99

// idleKind is one way to hold a connection and be worth nothing.
type idleKind struct {
	name string
	send string
	drip bool // a byte a second after that
	deaf bool // a receive buffer of the least size, of which nothing is read
}

func idleKinds() []idleKind {
	post := func(contentType, framing string) string {
		return "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType + "\r\n" + framing + "\r\n\r\n"
	}
	image16 := post("image/jpeg", "Content-Length: 16777216")
	return []idleKind{
		{name: "announce64", send: post("multipart/form-data; boundary=x", "Content-Length: 67108864")},
		{name: "announce16", send: image16},
		{name: "bytes10", send: image16 + "\xff\xd8\xff\xe0......"},
		{name: "bytes64Ki", send: image16 + "\xff\xd8\xff\xe0" + strings.Repeat(".", 64<<10-4)},
		{name: "lastbyte", send: post("image/jpeg", "Content-Length: 300000") + "\xff\xd8\xff\xe0" + strings.Repeat(".", 300_000-5)},
		{name: "part", send: post("multipart/form-data; boundary=x", "Content-Length: 1000000") + "--x\r\nContent-Disposition: form-data; name=", drip: true},
		{name: "trickle", send: image16, drip: true},
		{name: "chunked", send: post("image/jpeg", "Transfer-Encoding: chunked")},
		{name: "nothing"},
		{name: "header", send: "POST /predict HTTP/1.1\r\nHost: x\r\n", drip: true},
		{name: "reader", send: strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 10), deaf: true},
	}
}

// idleBench measures how many good requests are answered while idle clients of each kind hold connections, of which each
// connects again when it is refused. The server is a new one for each kind.
func idleBench(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-8s %-11s %6s %6s %8s %10s %10s %9s  %s\n", "via", "kind", "good", "200", "share", "p50", "p99", "MiB", "other answers")
	var mistakes []error
	for _, via := range []string{"direct", "gateway"} {
		for _, kind := range idleKinds() {
			if o.Idle.Via != "both" && o.Idle.Via != via || o.Idle.Kinds != "" && !strings.Contains(","+o.Idle.Kinds+",", ","+kind.name+",") {
				continue
			}
			if err := o.idleCase(ctx, via, kind, images, out); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s, %s: %w", via, kind.name, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(mistakes...)
}

func (o options) idleCase(ctx context.Context, via string, kind idleKind, images [][]byte, out io.Writer) error {
	o.ServeLog = os.DevNull
	if via == "gateway" {
		o.ServeFlags = append(slices.Clone(o.ServeFlags), "--http.client_share=1") // as the supervisor sets it
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	base, pid := s.base, s.cmd.Process.Pid
	if via == "gateway" {
		g, address, err := startGateway(ctx, s.base)
		if err != nil {
			return err
		}
		defer func() {
			_ = g.Process.Kill() // it keeps nothing
			_ = g.Wait()
		}()
		base, pid = "http://"+address, g.Process.Pid
	}
	idle, stop := context.WithCancel(ctx)
	var clients, dialed sync.WaitGroup
	dials := make(chan struct{}, 64)
	for range o.Idle.Clients {
		dialed.Add(1)
		clients.Go(func() { kind.hold(idle, strings.TrimPrefix(base, "http://"), dials, sync.OnceFunc(dialed.Done)) })
	}
	defer clients.Wait()
	defer stop()
	dialed.Wait()
	time.Sleep(settle)                                                     // until what they have asked for is done
	m, _ := open(o.Idle.Rate, o.Duration, targets(base+o.route(), images)) // its error is that not all were good
	u, err := usageOf(pid)
	if err != nil {
		return err
	}
	good := m.StatusCodes["200"]
	share := float64(good) / float64(m.Requests)
	delete(m.StatusCodes, "200")
	fmt.Fprintf(out, "%-8s %-11s %6d %6d %7.2f%% %10s %10s %9.0f  %v\n", via, kind.name, m.Requests, good, 100*share,
		m.Latencies.P50.Round(time.Millisecond), m.Latencies.P99.Round(time.Millisecond), float64(u.Resident)/(1<<20), m.StatusCodes)
	if share < goodShare {
		return fmt.Errorf("%.2f%% of the good requests were answered, want %.0f%%", 100*share, 100*goodShare)
	}
	return nil
}

// hold keeps one idle connection open until ctx ends, and calls dialed when the first is.
func (k idleKind) hold(ctx context.Context, address string, dials chan struct{}, dialed func()) {
	defer dialed()
	for ctx.Err() == nil {
		dials <- struct{}{}
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
		<-dials
		if err == nil {
			k.idle(ctx, conn, dialed)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// idle returns when the server has closed the connection, or ctx has ended.
func (k idleKind) idle(ctx context.Context, conn net.Conn, sent func()) {
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer unhook()
	if tcp, ok := conn.(*net.TCPConn); ok && k.deaf {
		_ = tcp.SetReadBuffer(1) // the kernel takes its least
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		if k.deaf {
			sent() // its requests are more than the server reads
		}
		_, err := io.WriteString(conn, k.send)
		sent()
		for k.drip && err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(conn, "x")
		}
	}()
	if k.deaf {
		<-ctx.Done()
	} else {
		_, _ = io.Copy(io.Discard, conn) // until it is closed
	}
	_ = conn.Close()
	<-written
}

// startGateway runs the gateway in a process of its own, before one server.
func startGateway(ctx context.Context, replica string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, "idle-gateway", "-listen", address, "-replica", replica)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	for range 200 {
		if resp, err := http.Get("http://" + address + "/ready"); err == nil {
			_ = resp.Body.Close()
			return cmd, address, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	return nil, "", errors.Join(errors.New("the gateway did not answer"), cmd.Wait())
}

// idleGateway is the gateway as the supervisor runs it, without a supervisor.
func idleGateway(_ context.Context, o options, _ io.Writer) error {
	g := gateway.New(gateway.Defaults(), slog.New(slog.DiscardHandler))
	if err := g.Balancer().Set([]gateway.Replica{{ID: "replica", URL: o.Idle.Replica}}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Idle.Listen)
	if err != nil {
		return err
	}
	return g.Serve(listener)
}
