package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fovea/internal/apikey"
	"fovea/tools/bench/pairs"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// What keys and TLS may cost, and how much longer the p99 of an ordinary client may be next to others.
const (
	maxCost  = 1.03
	maxDelay = 1.2
)

// accessOptions are the flags of the verb access.
type accessOptions struct {
	Rate  float64 // of the ordinary client, in requests per second
	Limit float64 // of the other client, which sends ten times as many
	Wrong int     // requests per second with wrong keys
}

func (o *accessOptions) add(flags *flag.FlagSet) {
	flags.Float64Var(&o.Rate, "rate", 10, "requests per second of an ordinary client")
	flags.Float64Var(&o.Limit, "client-limit", 2, "limit in requests per second of another client, which sends ten times as many")
	flags.IntVar(&o.Wrong, "wrong", 10_000, "requests per second with wrong keys")
}

// accessBench measures what API keys and TLS cost, in CPU time per request on kept connections, and what other clients do to an
// ordinary one: one that sends ten times its limit, and one that sends wrong keys.
func accessBench(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-access")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	k, err := newAccessKeys(dir, o.Access.Limit)
	if err != nil {
		return err
	}
	if err := accessCost(ctx, o, k, images, out); err != nil {
		return err
	}
	return accessNeighbors(ctx, o, k, images, out)
}

// accessKeys are the files of a server, and the keys of its clients.
type accessKeys struct {
	keys, certificate, key string // paths
	ordinary, limited      string // keys
}

func newAccessKeys(dir string, limit float64) (accessKeys, error) {
	k := accessKeys{keys: filepath.Join(dir, "keys.yaml"), certificate: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"),
		ordinary: apikey.New(), limited: apikey.New()}
	scopes := []string{string(apikey.Predict)}
	text := "keys:\n" + apikey.Key{Name: "ordinary", Hash: apikey.Hash(k.ordinary), Scopes: scopes}.Entry() +
		apikey.Key{Name: "limited", Hash: apikey.Hash(k.limited), Scopes: scopes, Rate: limit, Burst: 1}.Entry()
	return k, errors.Join(os.WriteFile(k.keys, []byte(text), 0o600), selfSigned(k.certificate, k.key))
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// keyed sends the images in turn with a key.
func keyed(url, key string, images [][]byte) vegeta.Targeter {
	return targetsWith(url, http.Header{"X-Api-Key": {key}}, images)
}

// attack sends requests at a rate on at most n connections. Those that cannot be sent in time are not sent.
func attack(rate vegeta.Rate, n int, d time.Duration, t vegeta.Targeter) vegeta.Metrics {
	a := vegeta.NewAttacker(vegeta.Workers(uint64(n)), vegeta.MaxWorkers(uint64(n)), vegeta.Connections(n), vegeta.TLSConfig(&tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // G402: the server is this program's own
	}))
	return metricsOf(a.Attack(t, rate, d, ""))
}

// accessCost alternates between servers and compares their CPU times per request, round by round.
func accessCost(ctx context.Context, o options, k accessKeys, images [][]byte, out io.Writer) error {
	servers := []struct {
		name  string
		flags []string
	}{
		{name: "plain"},
		{"keys", []string{"--http.keys=" + k.keys}},
		{"keys and TLS", []string{"--http.keys=" + k.keys, "--http.tls.certificate=" + k.certificate, "--http.tls.key=" + k.key}},
	}
	costs := map[string][]float64{}
	for range o.Rounds {
		for _, s := range servers {
			cost, err := o.costWith(ctx, s.flags, k.ordinary, images)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			costs[s.name] = append(costs[s.name], cost)
		}
	}
	for _, s := range servers {
		fmt.Fprintf(out, "%-13s %s ms of CPU time per request\n", s.name, pairs.Spread(costs[s.name]))
	}
	for _, s := range servers[1:] {
		judge(out, s.name+" / plain, CPU time per request", quotients(costs[s.name], costs["plain"]), maxCost)
	}
	return nil
}

// costWith is the CPU time per request, in milliseconds, of a server with flags.
func (o options) costWith(ctx context.Context, flags []string, key string, images [][]byte) (float64, error) {
	o.ServeFlags = append(slices.Clone(o.ServeFlags), flags...)
	s, err := startServer(ctx, o)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	url := s.base + o.route()
	attack(vegeta.Rate{}, 4, time.Second, keyed(url, key, images)) // connections and caches
	before, err := s.usage()
	if err != nil {
		return 0, err
	}
	m := attack(vegeta.Rate{}, 4, o.Duration, keyed(url, key, images))
	after, err := s.usage()
	if err == nil && m.Success < 1 {
		err = fmt.Errorf("%v %v", m.StatusCodes, m.Errors)
	}
	return (after.CPU - before.CPU).Seconds() * 1000 / float64(m.Requests), err
}

// accessNeighbors measures an ordinary client's latency alone and next to others, in alternation.
func accessNeighbors(ctx context.Context, o options, k accessKeys, images [][]byte, out io.Writer) error {
	o.ServeFlags = append(slices.Clone(o.ServeFlags), "--http.keys="+k.keys)
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	url := s.base + o.route()
	small := [][]byte{make([]byte, 1<<10)}
	neighbors := []struct {
		name  string
		rate  vegeta.Rate
		conns int
		t     vegeta.Targeter
	}{
		{name: "alone"},
		{"next to ten times a limit", vegeta.Rate{Freq: int(10 * o.Access.Limit * 60), Per: time.Minute}, 16, keyed(url, k.limited, images)},
		{"next to wrong keys", vegeta.Rate{Freq: o.Access.Wrong, Per: time.Second}, 64, keyed(url, apikey.New(), small)},
	}
	p50, p99 := map[string][]float64{}, map[string][]float64{}
	ordinary := vegeta.Rate{Freq: int(o.Access.Rate * 60), Per: time.Minute}
	attack(ordinary, 16, time.Second, keyed(url, k.ordinary, images))
	for range o.Rounds {
		for _, n := range neighbors {
			done := make(chan vegeta.Metrics, 1)
			if n.t != nil {
				go func() { done <- attack(n.rate, n.conns, o.Duration, n.t) }()
			}
			m := attack(ordinary, 64, o.Duration, keyed(url, k.ordinary, images))
			if m.Success < 1 {
				return fmt.Errorf("%s: %v %v", n.name, m.StatusCodes, m.Errors)
			}
			p50[n.name], p99[n.name] = append(p50[n.name], m.Latencies.P50.Seconds()*1000), append(p99[n.name], m.Latencies.P99.Seconds()*1000)
			if n.t != nil {
				other := <-done
				fmt.Fprintf(out, "  %s: %.0f per second, %v\n", n.name, other.Rate, other.StatusCodes)
			}
		}
	}
	for _, n := range neighbors {
		fmt.Fprintf(out, "%-26s p50 %s ms, p99 %s ms\n", n.name, pairs.Spread(p50[n.name]), pairs.Spread(p99[n.name]))
	}
	for _, n := range neighbors[1:] {
		judge(out, n.name+" / alone, p99", quotients(p99[n.name], p99["alone"]), maxDelay)
	}
	return nil
}
