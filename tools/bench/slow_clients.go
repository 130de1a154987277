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
	"fovea/tools/bench/proc"
)

// slowOptions are the flags of the verbs slow-clients and slow-clients-gateway.
type slowOptions struct {
	Clients int     // connections of each kind
	Rate    float64 // ordinary requests per second meanwhile
	Kinds   string  // comma-separated names; empty: all
	Via     string  // direct, gateway or both
	Listen  string  // of slow-clients-gateway
	Replica string  // of slow-clients-gateway
}

func (o *slowOptions) add(flags *flag.FlagSet) {
	flags.IntVar(&o.Clients, "clients", 2000, "slow clients of each kind")
	flags.Float64Var(&o.Rate, "rate", 20, "ordinary requests per second meanwhile")
	flags.StringVar(&o.Kinds, "kinds", "", "comma-separated kinds of slow clients; empty: all")
	flags.StringVar(&o.Via, "via", "both", "direct, gateway or both")
	flags.StringVar(&o.Listen, "listen", "", "where slow-clients-gateway listens")
	flags.StringVar(&o.Replica, "replica", "", "the server behind slow-clients-gateway")
}

// rampTime is the time between the slow clients' connections and the first ordinary request.
const rampTime = 2 * time.Second

// minGood is the share of ordinary requests that must be answered with 200.
const minGood = 0.99

// slowClient is one way to hold a connection without using it.
type slowClient struct {
	name   string
	send   string
	drip   bool // one more byte per second after that
	noRead bool // read nothing, with the smallest receive buffer
}

func slowClients() []slowClient {
	post := func(contentType, framing string) string {
		return "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType + "\r\n" + framing + "\r\n\r\n"
	}
	image16 := post("image/jpeg", "Content-Length: 16777216")
	return []slowClient{
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
		{name: "reader", send: strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 10), noRead: true},
	}
}

// slowClientsBench measures how many ordinary requests succeed while slow clients of each kind hold connections and
// reconnect when they are refused. Each kind gets a new server.
func slowClientsBench(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-8s %-11s %6s %6s %8s %10s %10s %9s  %s\n", "via", "kind", "good", "200", "share", "p50", "p99", "MiB", "other answers")
	var errs []error
	for _, via := range []string{"direct", "gateway"} {
		for _, kind := range slowClients() {
			if o.Slow.Via != "both" && o.Slow.Via != via || o.Slow.Kinds != "" && !strings.Contains(","+o.Slow.Kinds+",", ","+kind.name+",") {
				continue
			}
			if err := o.slowCase(ctx, via, kind, images, out); err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", via, kind.name, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(errs...)
}

func (o options) slowCase(ctx context.Context, via string, kind slowClient, images [][]byte, out io.Writer) error {
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
			_ = g.Process.Kill() // it has no state
			_ = g.Wait()
		}()
		base, pid = "http://"+address, g.Process.Pid
	}
	idle, stop := context.WithCancel(ctx)
	var clients, dialed sync.WaitGroup
	dials := make(chan struct{}, 64)
	for range o.Slow.Clients {
		dialed.Add(1)
		clients.Go(func() { kind.hold(idle, strings.TrimPrefix(base, "http://"), dials, sync.OnceFunc(dialed.Done)) })
	}
	defer clients.Wait()
	defer stop()
	dialed.Wait()
	time.Sleep(rampTime)                                                   // until their requests are done
	m, _ := open(o.Slow.Rate, o.Duration, targets(base+o.route(), images)) // the share of failures is judged below
	u, err := usageOf(pid)
	if err != nil {
		return err
	}
	good := m.StatusCodes["200"]
	share := float64(good) / float64(m.Requests)
	delete(m.StatusCodes, "200")
	fmt.Fprintf(out, "%-8s %-11s %6d %6d %7.2f%% %10s %10s %9.0f  %v\n", via, kind.name, m.Requests, good, 100*share,
		m.Latencies.P50.Round(time.Millisecond), m.Latencies.P99.Round(time.Millisecond), float64(u.Resident)/(1<<20), m.StatusCodes)
	if share < minGood {
		return fmt.Errorf("%.2f%% of the ordinary requests succeeded, want %.0f%%", 100*share, 100*minGood)
	}
	return nil
}

// hold keeps one slow connection open until ctx ends and calls dialed once the first is open.
func (k slowClient) hold(ctx context.Context, address string, dials chan struct{}, dialed func()) {
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

// idle returns when the server closes the connection or ctx ends.
func (k slowClient) idle(ctx context.Context, conn net.Conn, sent func()) {
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer unhook()
	if tcp, ok := conn.(*net.TCPConn); ok && k.noRead {
		_ = tcp.SetReadBuffer(1) // the kernel uses its minimum
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		if k.noRead {
			sent() // it sends more than the server reads
		}
		_, err := io.WriteString(conn, k.send)
		sent()
		for k.drip && err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(conn, "x")
		}
	}()
	if k.noRead {
		<-ctx.Done()
	} else {
		_, _ = io.Copy(io.Discard, conn)
	}
	_ = conn.Close()
	<-written
}

// startGateway runs the gateway in a separate process in front of one server.
func startGateway(ctx context.Context, replica string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	free, err := proc.FreeAddress()
	if err != nil {
		return nil, "", err
	}
	address := free.String()
	cmd := exec.CommandContext(ctx, self, "slow-clients-gateway", "-listen", address, "-replica", replica)
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
	return nil, "", errors.Join(errors.New("the gateway did not respond"), cmd.Wait())
}

// slowClientsGateway runs the gateway without a supervisor.
func slowClientsGateway(_ context.Context, o options, _ io.Writer) error {
	g, err := gateway.New(gateway.Defaults(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := g.Balancer().Set([]gateway.Replica{{ID: "replica", URL: o.Slow.Replica}}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Slow.Listen)
	if err != nil {
		return err
	}
	return g.Serve(listener)
}
