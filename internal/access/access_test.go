package access

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/apikey"
	"fovea/internal/config"
	"fovea/internal/testenv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func reader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time          { return c.Time }
func (c *clock) advance(d time.Duration) { c.Time = c.Add(d) }

// fixture is a guard and the keys that it knows.
type fixture struct {
	*Guard

	clock *clock
	log   *bytes.Buffer
	path  string
	keys  map[string]string // by name
}

// open makes a guard with keys; nil: none are needed.
func open(t *testing.T, cfg Config, keys ...apikey.Key) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{time.Unix(1_000_000, 0)}, log: &bytes.Buffer{}, keys: map[string]string{}}
	if keys != nil {
		f.path = filepath.Join(t.TempDir(), "keys.yaml")
		cfg.Keys = f.path
		f.write(t, keys...)
	}
	if err := config.Check(cfg); err != nil {
		t.Fatal(err)
	}
	g, err := Open(cfg, slog.New(slog.NewTextHandler(f.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g.now = f.clock.now
	f.Guard = g
	return f
}

// write replaces the file of keys. Keys with a known name keep their secrets.
func (f *fixture) write(t *testing.T, keys ...apikey.Key) {
	t.Helper()
	text := "keys: []\n"
	for i, k := range keys {
		if i == 0 {
			text = "keys:\n"
		}
		if f.keys[k.Name] == "" {
			f.keys[k.Name] = apikey.New()
		}
		k.Hash = apikey.Hash(f.keys[k.Name])
		text += k.Entry()
	}
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.Guard != nil { // what Watch does
		ring, err := f.readKeys([][]byte{[]byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		*f.Guard.keys.Get() = *ring
	}
}

func (f *fixture) bearer(name string) Caller {
	return Caller{Remote: "192.0.2.1:1000", Authorization: []string{"Bearer " + f.keys[name]}}
}

// code is the code of an error, "" for nil.
func code(err error) apierror.Code {
	if err == nil {
		return ""
	}
	return apierror.From(err).Code
}

var (
	predictCats = Route{Scope: apikey.Predict, Model: "cats"}
	cameras     = apikey.Key{Name: "cameras", Scopes: []string{"predict"}, Models: []string{"cats"}}
	monitor     = apikey.Key{Name: "monitor", Scopes: []string{"models"}}
	operator    = apikey.Key{Name: "operator", Scopes: []string{"predict", "models", "admin"}}
)

func TestKeysAndWhatTheyAllow(t *testing.T) {
	f := open(t, Config{}, cameras, monitor, operator)
	admin := Route{Scope: apikey.Admin, Model: "cats"}
	metrics := Route{Scope: apikey.Models, metrics: true}
	for _, test := range []struct {
		name  string
		route Route
		key   string
		want  apierror.Code
		says  string
	}{
		{"a prediction", predictCats, "cameras", "", ""},
		{"the model's view of images", Route{Scope: apikey.Predict, Model: "cats.image"}, "cameras", "", ""},
		{"another model", Route{Scope: apikey.Predict, Model: "dogs"}, "cameras", apierror.PermissionDenied, `key cameras may not use model "dogs"; it may use cats`},
		{"a model whose name begins the same", Route{Scope: apikey.Predict, Model: "cats.imagex"}, "cameras", apierror.PermissionDenied, ""},
		{"no model in the path", Route{Scope: apikey.Predict}, "cameras", "", ""},
		{"a prediction without its scope", predictCats, "monitor", apierror.PermissionDenied, "key monitor does not have scope predict"},
		{"the models without their scope", Route{Scope: apikey.Models}, "cameras", apierror.PermissionDenied, "scope models"},
		{"the models", Route{Scope: apikey.Models}, "monitor", "", ""},
		{"metrics", metrics, "monitor", "", ""},
		{"metrics without their scope", metrics, "cameras", apierror.PermissionDenied, ""},
		{"loading without its scope", admin, "monitor", apierror.PermissionDenied, "scope admin"},
		{"loading", admin, "operator", "", ""},
		{"any key", Route{}, "cameras", "", ""},
	} {
		c, leave, err := f.Enter(test.route, f.bearer(test.key))
		leave()
		if code(err) != test.want || err != nil && !strings.Contains(err.Error(), test.says) || c.Key() != test.key || c.ID != "key "+test.key {
			t.Errorf("%s: %v, client %+v", test.name, err, c)
		}
	}
	if got := (&Client{key: &cameras}).Usable([]string{"dogs", "cats", "birds"}); len(got) != 1 || got[0] != "cats" {
		t.Errorf("usable: %v", got)
	}
	if got := (*Client)(nil).Usable([]string{"dogs"}); len(got) != 1 || (*Client)(nil).MayUse("dogs") != nil || (*Client)(nil).Key() != "" {
		t.Errorf("without a client: %v", got)
	}
}

func TestCredentials(t *testing.T) {
	f := open(t, Config{}, cameras, operator)
	one, two := f.keys["cameras"], f.keys["operator"]
	for _, test := range []struct {
		name   string
		caller Caller
		key    string
		says   string
	}{
		{"as bearer", Caller{Authorization: []string{"Bearer " + one}}, "cameras", ""},
		{"as bearer in other letters, with spaces", Caller{Authorization: []string{"bEARER   " + one}}, "cameras", ""},
		{"as X-API-Key", Caller{APIKey: []string{one}}, "cameras", ""},
		{"the same twice", Caller{APIKey: []string{one}, Authorization: []string{"Bearer " + one}}, "cameras", ""},
		{"none", Caller{}, "", "an API key is required"},
		{"an empty one", Caller{APIKey: []string{""}}, "", "not valid"},
		{"two keys", Caller{APIKey: []string{one}, Authorization: []string{"Bearer " + two}}, "", "several API keys"},
		{"two headers", Caller{APIKey: []string{one, two}}, "", "several API keys"},
		{"a good and an empty one", Caller{APIKey: []string{one, ""}}, "", "several API keys"},
		{"another scheme", Caller{Authorization: []string{"Basic " + one}}, "", "another scheme"},
		{"another scheme next to a key", Caller{APIKey: []string{one}, Authorization: []string{"Basic eDp5"}}, "", "another scheme"},
		{"a scheme without a key", Caller{Authorization: []string{"Bearer"}}, "", "another scheme"},
		{"a wrong key", Caller{APIKey: []string{apikey.New()}}, "", "not valid"},
		{"a key with a character more", Caller{APIKey: []string{one + "x"}}, "", "not valid"},
		{"two keys in one header", Caller{APIKey: []string{one + ", " + two}}, "", "not valid"},
		{"a key's hash", Caller{APIKey: []string{apikey.Hash(one)}}, "", "not valid"},
	} {
		c, leave, err := f.Enter(Route{}, test.caller)
		leave()
		if (err == nil) != (test.says == "") || err != nil && (code(err) != apierror.Unauthenticated || !strings.Contains(err.Error(), test.says)) || c.Key() != test.key {
			t.Errorf("%s: %v, key %q", test.name, err, c.Key())
		}
		for _, secret := range []string{one, two} {
			if err != nil && strings.Contains(err.Error(), secret[6:]) || strings.Contains(f.log.String(), secret[6:]) {
				t.Errorf("%s: the key is in the error or the log", test.name)
			}
		}
	}
}

func TestWithoutKeys(t *testing.T) {
	f := open(t, Config{})
	for _, route := range []Route{{}, {Open: true}, predictCats, {Scope: apikey.Admin}, {Scope: apikey.Models, metrics: true}} {
		c, leave, err := f.Enter(route, Caller{Remote: "[2001:db8::1]:80", APIKey: []string{"x"}})
		leave()
		if err != nil || c.ID != "2001:db8::/64" || c.Address.String() != "2001:db8::1" {
			t.Errorf("%+v: %v, %+v", route, err, c)
		}
	}
}

func TestOpenRoutesAndMetrics(t *testing.T) {
	for openMetrics, want := range map[bool]apierror.Code{false: apierror.Unauthenticated, true: ""} {
		f := open(t, Config{OpenMetrics: openMetrics}, cameras)
		if _, _, err := f.Enter(Route{Open: true}, Caller{APIKey: []string{"wrong"}}); err != nil {
			t.Errorf("an open route: %v", err)
		}
		if _, _, err := f.Enter(Route{Scope: apikey.Models, metrics: true}, Caller{}); code(err) != want {
			t.Errorf("open_metrics %v: %v", openMetrics, err)
		}
	}
}

func TestRateOfAddresses(t *testing.T) {
	f := open(t, Config{Rate: Rate{Limit: 2, Burst: 3}, TrustedProxies: []string{"10.0.0.0/8"}})
	from := func(remote, forwarded string) error {
		_, leave, err := f.Enter(predictCats, Caller{Remote: remote, Forwarded: []string{forwarded}})
		leave()
		return err
	}
	for i := range 5 {
		err := from(fmt.Sprintf("[2001:db8::%d]:1", i), "") // one /64
		if (err == nil) != (i < 3) {
			t.Errorf("request %d: %v", i, err)
		}
		if e := apierror.From(err); err != nil && (e.Code != apierror.RateLimited || e.RetryAfter != 500*time.Millisecond || !strings.Contains(e.Message, "2 requests per second")) {
			t.Errorf("request %d: %+v", i, e)
		}
	}
	if err := from("[2001:db8:0:1::1]:1", ""); err != nil {
		t.Errorf("another network: %v", err)
	}
	if _, _, err := f.Enter(Route{Open: true}, Caller{Remote: "[2001:db8::1]:1"}); err != nil {
		t.Errorf("an open route is limited: %v", err)
	}
	for range 3 {
		if err := errors.Join(from("10.0.0.1:1", "192.0.2.1"), from("10.0.0.1:1", "192.0.2.2")); err != nil {
			t.Errorf("clients behind a proxy share a limit: %v", err)
		}
	}
	if from("10.0.0.2:1", "192.0.2.1") == nil {
		t.Error("a client behind two proxies has two limits")
	}
	for range 3 {
		if err := from("192.0.2.3:1", "192.0.2.1"); err != nil {
			t.Errorf("a client that is not behind a proxy is limited by what it says: %v", err)
		}
	}
	if from("192.0.2.3:1", "192.0.2.77") == nil {
		t.Error("a client gets another limit by what it says")
	}
	f.clock.advance(500 * time.Millisecond)
	if err := from("[2001:db8::1]:1", ""); err != nil {
		t.Errorf("after Retry-After: %v", err)
	}
}

func TestLimitsOfKeys(t *testing.T) {
	limited := cameras
	limited.Rate, limited.Burst, limited.Concurrent = 4, 2, 3
	f := open(t, Config{Rate: Rate{Limit: 1}}, limited, operator)
	enter := func(name string) (func(), error) {
		_, leave, err := f.Enter(predictCats, f.bearer(name))
		return leave, err
	}
	first, err := enter("cameras")
	second, err2 := enter("cameras")
	if errors.Join(err, err2) != nil {
		t.Fatal(err, err2)
	}
	_, err = enter("cameras")
	if e := apierror.From(err); e == nil || e.Code != apierror.RateLimited || e.RetryAfter != 250*time.Millisecond || !strings.Contains(e.Message, "key cameras has sent more than 4") {
		t.Fatalf("above the burst: %+v", e)
	}
	f.clock.advance(time.Hour)
	third, err := enter("cameras")
	if err != nil {
		t.Fatalf("what was refused is in flight: %v", err)
	}
	if _, err := enter("cameras"); code(err) != apierror.RateLimited || !strings.Contains(err.Error(), "3 requests in flight, which is its limit") {
		t.Errorf("above the number in flight: %v", err)
	}
	f.write(t, limited, operator, monitor) // the file changes
	if _, err := enter("cameras"); code(err) != apierror.RateLimited {
		t.Errorf("a changed file ends what is in flight: %v", err)
	}
	first()
	fourth, err := enter("cameras")
	if err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	second()
	third()
	fourth()
	// A key without a rate has the server's, whatever its address has used.
	if _, err := enter("operator"); err != nil {
		t.Error(err)
	}
	if _, err := enter("operator"); code(err) != apierror.RateLimited || !strings.Contains(err.Error(), "more than 1 requests") {
		t.Errorf("above the server's rate: %v", err)
	}
}

func TestChangedFile(t *testing.T) {
	f := open(t, Config{}, cameras, operator)
	c, _, err := f.Enter(predictCats, f.bearer("cameras"))
	if err != nil {
		t.Fatal(err)
	}
	f.Count(c, 200)
	f.Count(&Client{}, 200)
	if n := testutil.ToFloat64(f.metrics.requests.WithLabelValues("cameras", "200")); n != 1 {
		t.Errorf("%g requests are counted", n)
	}
	f.write(t, operator, monitor)
	if _, _, err := f.Enter(predictCats, f.bearer("cameras")); code(err) != apierror.Unauthenticated {
		t.Errorf("a removed key: %v", err)
	}
	if _, _, err := f.Enter(Route{Scope: apikey.Models}, f.bearer("monitor")); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if n := testutil.CollectAndCount(f.metrics.requests); n != 0 {
		t.Errorf("%d series of removed keys are left", n)
	}
}

func TestRefusedRequestsAreCounted(t *testing.T) {
	limited := cameras
	limited.Rate, limited.Concurrent = 1, 1
	f := open(t, Config{}, limited, monitor)
	_, _, _ = f.Enter(predictCats, Caller{})
	_, _, _ = f.Enter(predictCats, Caller{APIKey: []string{"wrong"}})
	_, _, _ = f.Enter(predictCats, Caller{APIKey: []string{"wrong, too"}})
	_, _, _ = f.Enter(predictCats, f.bearer("monitor"))
	_, _, _ = f.Enter(Route{Model: "dogs"}, f.bearer("cameras"))
	_, leave, _ := f.Enter(predictCats, f.bearer("cameras"))
	_, _, _ = f.Enter(predictCats, f.bearer("cameras"))
	leave()
	_, _, _ = f.Enter(predictCats, f.bearer("cameras"))
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.Guard)
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP fovea_access_refused_total Requests refused for their API key or its limits, or for the limit of their client address.
# TYPE fovea_access_refused_total counter
fovea_access_refused_total{reason="concurrency"} 1
fovea_access_refused_total{reason="model"} 1
fovea_access_refused_total{reason="no_key"} 1
fovea_access_refused_total{reason="rate"} 1
fovea_access_refused_total{reason="scope"} 1
fovea_access_refused_total{reason="wrong_key"} 2
`), "fovea_access_refused_total")
	if err != nil {
		t.Error(err)
	}
}

func TestFloodOfWrongKeys(t *testing.T) {
	f := open(t, Config{}, cameras)
	wrong := Caller{Remote: "192.0.2.1:1", APIKey: []string{"wrong"}}
	floods := 0
	for range 1000 {
		_, _, err := f.Enter(predictCats, wrong)
		if code(err) != apierror.Unauthenticated {
			t.Fatal(err)
		}
		if errors.Is(err, ErrFlood) {
			floods++
		}
		f.clock.advance(10 * time.Millisecond)
	}
	if floods < 900 || floods > 980 {
		t.Errorf("%d of 1000 are a flood", floods)
	}
	if _, _, err := f.Enter(predictCats, f.bearer("cameras")); err != nil {
		t.Errorf("a good key of the same address: %v", err)
	}
	if n := strings.Count(f.log.String(), "\n"); n != 1 || !strings.Contains(f.log.String(), "count=1 last_client=192.0.2.1") {
		t.Errorf("%d lines in the log in ten seconds:\n%s", n, f.log)
	}
	_, _, _ = f.Enter(predictCats, wrong)
	if !strings.Contains(f.log.String(), "count=1000") {
		t.Errorf("the log does not have the count:\n%s", f.log)
	}
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct{ name, remote, forwarded, want, counted string }{
		{"IPv4", "192.0.2.1:80", "", "192.0.2.1", "192.0.2.1/32"},
		{"IPv6", "[2001:db8:1:2:3::4]:1", "", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:80", "", "192.0.2.1", "192.0.2.1/32"},
		{"IPv6 with a zone", "[fe80::1%eth0]:80", "", "fe80::1", "fe80::/64"},
		{"a Unix socket", "@", "", "invalid IP", "invalid Prefix"},
		{"none", "", "", "invalid IP", "invalid Prefix"},
		{"a client's own header", "192.0.2.1:80", "198.51.100.1", "192.0.2.1", "192.0.2.1/32"},
		{"through a proxy", "10.0.0.1:80", "198.51.100.1", "198.51.100.1", "198.51.100.1/32"},
		{"through two proxies", "10.0.0.1:80", "198.51.100.1, 10.0.0.2", "198.51.100.1", "198.51.100.1/32"},
		{"through a proxy, with a client's own header before", "10.0.0.1:80", "203.0.113.9, 198.51.100.1", "198.51.100.1", "198.51.100.1/32"},
		{"through a proxy that writes the port", "10.0.0.1:80", "198.51.100.1:4711", "198.51.100.1", "198.51.100.1/32"},
		{"IPv6 through a proxy", "10.0.0.1:80", "2001:db8::5", "2001:db8::5", "2001:db8::/64"},
		{"IPv6 with a port through a proxy", "10.0.0.1:80", "[2001:db8::5]:80", "2001:db8::5", "2001:db8::/64"},
		{"IPv6 in brackets through a proxy", "10.0.0.1:80", "[2001:db8::5]", "2001:db8::5", "2001:db8::/64"},
		{"a proxy that writes nothing", "10.0.0.1:80", "", "10.0.0.1", "10.0.0.1/32"},
		{"a proxy that writes something else", "10.0.0.1:80", "198.51.100.1, unknown", "10.0.0.1", "10.0.0.1/32"},
		{"something else before a proxy", "10.0.0.1:80", "unknown, 10.0.0.2", "10.0.0.2", "10.0.0.2/32"},
		{"a proxy itself", "10.0.0.1:80", "10.0.0.3, 10.0.0.2", "10.0.0.3", "10.0.0.3/32"},
		{"a proxy in IPv6", "[::ffff:10.0.0.1]:80", "198.51.100.1", "198.51.100.1", "198.51.100.1/32"},
		{"a single trusted address", "172.16.0.1:80", "198.51.100.1", "198.51.100.1", "198.51.100.1/32"},
		{"its neighbor", "172.16.0.2:80", "198.51.100.1", "172.16.0.2", "172.16.0.2/32"},
	} {
		f := open(t, Config{TrustedProxies: []string{"10.0.0.0/8", "172.16.0.1"}})
		c, _, _ := f.Enter(Route{}, Caller{Remote: test.remote, Forwarded: []string{test.forwarded}})
		if c.Address.String() != test.want || c.ID != test.counted {
			t.Errorf("%s: %s, counted by %s; want %s, %s", test.name, c.Address, c.ID, test.want, test.counted)
		}
	}
	f := open(t, Config{TrustedProxies: []string{"10.0.0.0/8"}})
	if c, _, _ := f.Enter(Route{}, Caller{Remote: "10.0.0.1:1", Forwarded: []string{"198.51.100.1", "10.0.0.2"}}); c.ID != "198.51.100.1/32" {
		t.Errorf("in two headers: %s", c.ID)
	}
}

func TestCheck(t *testing.T) {
	bad := Config{OpenMetrics: true, Rate: Rate{Limit: -1, Burst: -1}, TrustedProxies: []string{"10.0.0.0/8", "10.0.0.0/33", "fe80::1%eth0", "host"}}
	err := config.Check(bad)
	for _, says := range []string{"open_metrics: has no effect without keys", "rate.limit: -1 is out of range", "rate.burst: -1 is out of range",
		`trusted_proxies[1]: "10.0.0.0/33" is neither`, "trusted_proxies[2]", `trusted_proxies[3]: "host"`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("not reported: %s, but %v", says, err)
		}
	}
	if err := config.Check(Config{Rate: Rate{Burst: 1}}); err == nil || !strings.Contains(err.Error(), "rate.burst: has no effect") {
		t.Error(err)
	}
	if _, err := Open(Config{Keys: "/none.yaml"}, slog.New(slog.DiscardHandler)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// FuzzHeaders checks that no headers cause a panic, that only a known key is accepted, and only an address of a trusted proxy's.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"Bearer x\x00y\x00z", "\x00\x00", "bearer  \x00k\x00198.51.100.1, 10.0.0.2", "Basic x\x00\x00[::1]:80,unknown"} {
		f.Add(seed)
	}
	path, keys := testenv.KeyFile(f, apikey.Key{Name: "k", Scopes: []string{"predict"}})
	secret := keys["k"]
	g, err := Open(Config{Keys: path, TrustedProxies: []string{"10.0.0.0/8"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts := append(strings.Split(strings.ReplaceAll(text, "KEY", secret), "\x00"), "", "", "")
		header := http.Header{"Authorization": {parts[0]}, "X-Api-Key": strings.Split(parts[1], "\n"), "X-Forwarded-For": strings.Split(parts[2], "\n")}
		c, leave, err := g.Enter(Route{}, CallerOf(&http.Request{Header: header, RemoteAddr: "10.0.0.1:1"}))
		leave()
		if err == nil != (c.Key() == "k") || err == nil && !strings.Contains(parts[0]+parts[1], secret) {
			t.Errorf("%q: %v, key %q", text, err, c.Key())
		}
		if !c.Address.IsValid() || c.Address.Zone() != "" {
			t.Errorf("%q: address %s", text, c.Address)
		}
	})
}

func TestNamedModels(t *testing.T) {
	f := open(t, Config{}, cameras, operator)
	for key, want := range map[string]apierror.Code{"cameras": apierror.PermissionDenied, "operator": ""} {
		if _, _, err := f.Enter(Route{Scope: apikey.Predict, Named: true}, f.bearer(key)); code(err) != want || err != nil && !strings.Contains(err.Error(), "/v1/models/cats/predict") {
			t.Errorf("%s: %v", key, err)
		}
		if _, _, err := f.Enter(Route{Scope: apikey.Predict, Model: "cats", Named: true}, f.bearer(key)); err != nil {
			t.Errorf("%s with a model: %v", key, err)
		}
		if _, _, err := f.Enter(Route{Open: true, Named: true}, f.bearer(key)); err != nil {
			t.Errorf("%s on an open route: %v", key, err)
		}
	}
}

func TestFloodIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := Open(Config{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		g.HoldBack(t.Context())
		if waited := time.Since(start); waited != floodPause {
			t.Errorf("it waits for %s", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range maxPaused {
			waiting.Go(func() { g.HoldBack(ctx) })
		}
		synctest.Wait()
		start = time.Now()
		g.HoldBack(t.Context())
		if waited := time.Since(start); waited != 0 {
			t.Errorf("next to %d others it waits for %s", maxPaused, waited)
		}
		cancel()
		waiting.Wait()
		if waited := time.Since(start); waited != 0 || g.paused.Load() != 0 {
			t.Errorf("canceled requests wait for %s, %d are left", waited, g.paused.Load())
		}
	})
}

// A server behind a gateway keeps to the models that it says; who sends the header can only do less.
func TestModelsThatAGatewaySays(t *testing.T) {
	h := http.Header{ModelsHeader: {"forged"}}
	(&Client{key: &apikey.Key{Name: "camera", Models: []string{"cats", "a,b c", "100%"}}}).Restrict(h)
	f := open(t, Config{})
	from := Caller{Remote: "192.0.2.1:1", Models: h[ModelsHeader]}
	c, _, err := f.Enter(CallOf("/inference.GRPCInferenceService/ModelInfer", ""), from)
	if err != nil || c.Key() != "" {
		t.Fatal(c, err)
	}
	for model, allowed := range map[string]bool{"cats": true, "cats.image": true, "a,b c": true, "100%": true, "a": false, "dogs": false, "": false, "forged": false} {
		if err := c.MayUse(model); (err == nil) != allowed {
			t.Errorf("%q: %v", model, err)
		}
	}
	if got := c.Usable([]string{"dogs", "cats"}); len(got) != 1 || got[0] != "cats" {
		t.Errorf("usable: %v", got)
	}
	for _, route := range []Route{{Model: "dogs"}, {Named: true}} {
		if _, _, err := f.Enter(route, from); code(err) != apierror.PermissionDenied {
			t.Errorf("%+v: %v", route, err)
		}
	}
	again := http.Header{}
	if c.Restrict(again); len(again) != 1 || again[ModelsHeader][0] != h[ModelsHeader][0] {
		t.Errorf("passed on as %v, not %v", again, h)
	}

	keyed := open(t, Config{}, apikey.Key{Name: "all", Scopes: []string{"predict"}})
	from.Authorization = []string{"Bearer " + keyed.keys["all"]}
	if c, _, err := keyed.Enter(Route{Model: "dogs"}, from); err != nil || c.MayUse("dogs") != nil {
		t.Errorf("a server with keys: %v", err)
	}
	for _, free := range []*Client{nil, {}, {key: &apikey.Key{Name: "all"}}} {
		h := http.Header{ModelsHeader: {"forged"}}
		if free.Restrict(h); len(h) > 0 {
			t.Errorf("a client that may use all models: %v", h)
		}
	}
}
