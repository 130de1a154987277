package imageurl

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names resolves hosts; each lookup takes the next answer, and the last again.
type names struct {
	mu      sync.Mutex
	answers map[string][]string // addresses separated by spaces
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host = strings.ToLower(host)
	list := n.answers[host]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	var all []netip.Addr
	for text := range strings.FieldsSeq(list[0]) {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

// internet connects public addresses to a test server, and notes where to.
type internet struct {
	server *httptest.Server
	mu     sync.Mutex
	dialed []string
}

func (i *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	i.mu.Lock()
	i.dialed = append(i.dialed, address)
	i.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, i.server.Listener.Addr().String())
}

// site is a server with a Fetcher that reaches it as images.example.com, at a public address.
func site(t *testing.T, handler http.HandlerFunc, change ...func(*Config, *names)) (*Fetcher, *internet) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg := Config{Hosts: []string{"images.example.com", "*.cdn.example.com", "other.example.com:8443", "inside.example.com"}, Timeout: 5 * time.Second, Redirects: 3, HTTP: true}
	hosts := &names{answers: map[string][]string{
		"images.example.com": {"93.184.216.34"}, "a.cdn.example.com": {"93.184.216.35"}, "other.example.com": {"93.184.216.36"},
		"inside.example.com": {"127.0.0.1"},
	}}
	for _, c := range change {
		c(&cfg, hosts)
	}
	if err := config.Check(cfg); err != nil {
		t.Fatal(err)
	}
	net := &internet{server: server}
	f := NewWith(cfg, hosts, net.dial)
	t.Cleanup(f.Close)
	return f, net
}

// get fetches all of an image, within a second.
func get(t *testing.T, f *Fetcher, address string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body, _, err := f.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func image(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pixels") }

func TestAllowedHostsAreFetched(t *testing.T) {
	f, net := site(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Cookie") != "" || r.UserAgent() != "fovea" {
			t.Errorf("header %v", r.Header)
		}
		_, _ = io.WriteString(w, r.Host+r.URL.RequestURI())
	})
	for address, want := range map[string]string{
		"http://images.example.com/a.jpg?x=1":      "images.example.com/a.jpg?x=1",
		"HTTP://IMAGES.example.COM:80/":            "IMAGES.example.COM:80/",
		"http://a.cdn.example.com/b":               "a.cdn.example.com/b",
		"http://other.example.com:8443/b#fragment": "other.example.com:8443/b",
	} {
		got, err := get(t, f, address)
		if err != nil || !strings.EqualFold(string(got), want) {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	for _, address := range net.dialed {
		if !strings.HasPrefix(address, "93.184.216.3") {
			t.Errorf("connected to %s", address)
		}
	}
}

func TestOtherAddressesAreRefused(t *testing.T) {
	f, net := site(t, image)
	for address, message := range map[string]string{
		"ftp://images.example.com/a":             `scheme is "ftp"; allowed: https and http`,
		"file:///etc/passwd":                     `scheme is "file"`,
		"//images.example.com/a":                 `scheme is ""`,
		"images.example.com/a":                   "scheme",
		"":                                       "scheme",
		"http://":                                `host "" is not one`,
		"http:///a":                              `host "" is not one`,
		"http:images.example.com":                `host "" is not one`,
		"http://user@images.example.com/":        "has a user name",
		"http://images.example.com@127.0.0.1/":   "has a user name",
		"http://user:secret@images.example.com/": "has a user name",
		"http://images.example.com:22/":          `"images.example.com:22" is not one`,
		"http://images.example.com:0080/":        "is not one",
		"http://images.example.com:443/":         "is not one",
		"http://other.example.com/":              "is not one",
		"http://cdn.example.com/":                "is not one",
		"http://evilimages.example.com/":         "is not one",
		"http://images.example.com.evil.org/":    "is not one",
		"http://images.example.com./":            "is not one",
		"http://xcdn.example.com/":               "is not one",
		"http://127.0.0.1/":                      "is not one",
		"http://2130706433/":                     "is not one",
		"http://0177.0.0.1/":                     "is not one",
		"http://0x7f.1/":                         "is not one",
		"http://127.1/":                          "is not one",
		"http://[::1]/":                          "is not one",
		"http://[::ffff:127.0.0.1]/":             "is not one",
		"http://[fe80::1%25eth0]/":               "is not one",
		"http://localhost/":                      "is not one",
		"http://images.example.com%2f.evil.org/": "not valid",
		"http://images.example.com\\.evil.org/":  "not valid",
		"http://images.example.com\r\nX: y/":     "not valid",
		"http://ımages.example.com/":             "is not one",
		"http://inside.example.com/":             `host "inside.example.com" has no public address`,
		"http://images.example.com/" + strings.Repeat("x", maxURL): "longer than",
	} {
		_, err := get(t, f, address)
		if e := apierror.From(err); err == nil || e.Code != apierror.URLRefused || !strings.Contains(e.Message, message) {
			t.Errorf("%.80s: %v; want …%s…", address, err, message)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	if len(net.dialed) > 0 {
		t.Errorf("connected to %v", net.dialed)
	}
}

func TestHTTPIsRefusedByDefault(t *testing.T) {
	f, _ := site(t, image, func(c *Config, _ *names) { c.HTTP = false })
	if _, err := get(t, f, "http://images.example.com/"); apierror.From(err).Code != apierror.URLRefused || !strings.Contains(err.Error(), "allowed: https") {
		t.Error(err)
	}
	off := New(Defaults())
	if _, err := get(t, off, "https://images.example.com/"); off.Enabled() || apierror.From(err).Code != apierror.URLRefused || !strings.Contains(err.Error(), "send the image itself") {
		t.Error(err)
	}
}

// TestRedirectsAreCheckedAlike redirects to where no image may come from.
func TestRedirectsAreCheckedAlike(t *testing.T) {
	f, net := site(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		image(w, r)
	})
	for to, c := range map[string]struct {
		code    apierror.Code
		message string
	}{
		"http://127.0.0.1/":                        {apierror.URLRefused, `"127.0.0.1" is not one`},
		"http://169.254.169.254/latest/meta-data/": {apierror.URLRefused, "is not one"},
		"http://[::1]:8000/":                       {apierror.URLRefused, "is not one"},
		"http://inside.example.com/":               {apierror.URLRefused, "has no public address"},
		"http://images.example.com:8000/":          {apierror.URLRefused, "is not one"},
		"http://user@images.example.com/":          {apierror.URLRefused, "has a user name"},
		"file:///etc/passwd":                       {apierror.URLRefused, "scheme"},
		"http://a.cdn.example.com/":                {"", ""},
		"/":                                        {"", ""},
		"http://images.example.com/?to=http%3A%2F%2Fimages.example.com%2F%3Fto%3Dhttp%253A%252F%252Fimages.example.com%252F": {"", ""},
	} {
		got, err := get(t, f, "http://images.example.com/?to="+escape(to))
		if c.code == "" {
			if err != nil || string(got) != "pixels" {
				t.Errorf("%s: %q, %v", to, got, err)
			}
			continue
		}
		if e := apierror.From(err); err == nil || e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s: %v", to, err)
		}
	}
	for _, address := range net.dialed {
		if !strings.HasPrefix(address, "93.184.216.3") {
			t.Errorf("connected to %s", address)
		}
	}
}

func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&out, "%%%02X", b)
	}
	return out.String()
}

func TestEndlessRedirectsEnd(t *testing.T) {
	var requests atomic.Int64
	f, _ := site(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	if _, err := get(t, f, "http://images.example.com/"); apierror.From(err).Code != apierror.URLFailed || !strings.Contains(err.Error(), "more than 3 redirects") || requests.Load() != 4 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
}

// TestRebindingDoesNotReachOtherAddresses answers the first lookup with a public address, and later ones with a private one, or both
// together. Each connection is to an address that was checked.
func TestRebindingDoesNotReachOtherAddresses(t *testing.T) {
	for what, answers := range map[string][]string{
		"private afterwards":    {"93.184.216.34", "127.0.0.1"},
		"private before public": {"127.0.0.1 10.0.0.1 93.184.216.34 ::1"},
		"private of IPv6":       {"93.184.216.34", "::ffff:127.0.0.1 64:ff9b::7f00:1 fd00::1"},
	} {
		f, net := site(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close") // so that each request resolves again
			image(w, r)
		}, func(_ *Config, n *names) { n.answers["images.example.com"] = answers })
		for i := range 3 {
			got, err := get(t, f, "http://images.example.com/")
			private := i > 0 && len(answers) > 1
			if private && apierror.From(err).Code != apierror.URLRefused || !private && (err != nil || string(got) != "pixels") {
				t.Errorf("%s, request %d: %q, %v", what, i, got, err)
			}
		}
		for _, address := range net.dialed {
			if address != "93.184.216.34:80" {
				t.Errorf("%s: connected to %s", what, address)
			}
		}
	}
}

func TestOtherResponsesAreErrors(t *testing.T) {
	bomb := bytes.Buffer{}
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	f, _ := site(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/part":
			w.WriteHeader(http.StatusPartialContent)
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "pixels")
		case "/abort":
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	for path, message := range map[string]string{
		"gzip": `content encoding "gzip"`, "part": "answered 206", "header": "cannot be reached, or does not speak HTTP", "cut": "cannot be reached",
		"abort": "cannot be reached", "missing": "answered 404",
	} {
		_, err := get(t, f, "http://images.example.com/"+path+"?token=secret")
		if e := apierror.From(err); err == nil || e.Code != apierror.URLFailed || !strings.Contains(e.Message, message) || strings.Contains(e.Message, "secret") {
			t.Errorf("%s: %v", path, err)
		}
	}
	unknown, _ := site(t, image, func(_ *Config, n *names) { delete(n.answers, "images.example.com") })
	if _, err := get(t, unknown, "http://images.example.com/"); apierror.From(err).Code != apierror.URLFailed {
		t.Error(err)
	}
}

// TestSlowBodiesEndWithTheContext stalls before the header and within the body.
func TestSlowBodiesEndWithTheContext(t *testing.T) {
	for _, path := range []string{"/header", "/body"} {
		f, _ := site(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				_, _ = io.WriteString(w, "pix")
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		body, _, err := f.Open(ctx, "http://images.example.com"+path)
		if err == nil {
			_, err = io.ReadAll(body)
			_ = body.Close()
		}
		cancel()
		if e := apierror.From(err); e.Code != apierror.URLFailed || !strings.Contains(e.Message, "took longer than 5s") {
			t.Errorf("%s: %v", path, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, _, err := f.Open(ctx, "http://images.example.com"+path); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestConfiguredHosts(t *testing.T) {
	for text, valid := range map[string]bool{
		"images.example.com": true, "*.example.com": true, "Images.Example.com": true, "images.example.com:8443": true, "xn--bcher-kva.example": true, "s3.eu-west-1.amazonaws.com": true,
		"*": false, "": false, "*.com:x": false, "example": false, "localhost": false, "127.0.0.1": false, "2130706433": false, "0x7f.0x1": false, "[::1]": false, "https://images.example.com": false,
		"images.example.com/": false, "images.example.com:0": false, "images.example.com:65536": false, "user@images.example.com": false, ".example.com": false,
		"a..example.com": false, "-a.example.com": false, "bücher.example": false,
	} {
		cfg := Defaults()
		cfg.Hosts = []string{text}
		if err := config.Check(cfg); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse wants no address to be accepted whose host is not on the list.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"https://images.example.com/a.jpg", "https://a.cdn.example.com:443/", "http://images.example.com@127.0.0.1/", "https://[::1]/", "https://images.example.com%00.evil/"} {
		f.Add(text)
	}
	fetcher := New(Config{Hosts: []string{"images.example.com", "*.cdn.example.com"}, Timeout: time.Second})
	f.Fuzz(func(t *testing.T, text string) {
		u, err := fetcher.parse(text)
		if err != nil {
			if apierror.From(err).Code != apierror.URLRefused {
				t.Error(err)
			}
			return
		}
		host := strings.ToLower(u.Hostname())
		if u.Scheme != "https" || u.User != nil || u.Port() != "" && u.Port() != "443" || host != "images.example.com" && !strings.HasSuffix(host, ".cdn.example.com") {
			t.Errorf("%q is accepted", text)
		}
	})
}
