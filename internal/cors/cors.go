// Package cors implements CORS, the part of the Fetch standard by which a server allows web pages of other origins to send
// requests and read responses. Responses never depend on credentials, so requests with credentials are not allowed.
package cors

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Any and None allow all origins, and none.
const (
	Any  = "*"
	None = "none"
)

const (
	methods = "GET, HEAD, POST"
	exposed = "X-Request-ID, Retry-After, Inference-Header-Content-Length" // what a page may read in addition to the safelisted headers
	maxAge  = "7200"                                                       // seconds that a preflight response may be cached; the maximum of Chromium

	maxHeaders = 1 << 10 // bytes of Access-Control-Request-Headers that are reflected
)

// Policy is the set of allowed origins. The zero value allows none.
type Policy struct{ origins []string }

// Parse parses a comma-separated list of origins, such as "https://app.example, http://localhost:3000"; Any or None.
func Parse(text string) (Policy, error) {
	switch strings.TrimSpace(text) {
	case Any:
		return Policy{[]string{Any}}, nil
	case None, "":
		return Policy{}, nil
	}
	var p Policy
	for given := range strings.SplitSeq(text, ",") {
		origin := strings.ToLower(strings.TrimSpace(given))
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return Policy{}, fmt.Errorf("%q is no origin: want SCHEME://HOST[:PORT] with commas between, %s for all or %s", given, Any, None)
		}
		p.origins = append(p.origins, origin)
	}
	return p, nil
}

// Enabled reports whether any origin is allowed.
func (p Policy) Enabled() bool { return len(p.origins) > 0 }

// allow sets the headers that let the request's origin read the response.
func (p Policy) allow(h http.Header, r *http.Request) {
	h.Add("Vary", "Origin") // also without an Origin: a response to a page has more headers
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return
	case p.origins[0] == Any:
		origin = Any
	case !slices.Contains(p.origins, origin):
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposed)
}

// Handler answers preflight requests, and lets pages read the responses of next, errors included, on all paths but /metrics,
// which only monitoring reads.
func (p Policy) Handler(next http.Handler) http.Handler {
	if !p.Enabled() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			p.allow(w.Header(), r)
			if r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != "" {
				preflight(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// preflight allows all methods and headers. Of those, only Authorization and X-API-Key grant access, to a page that knows a key.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Access-Control-Request-Headers")
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Max-Age", maxAge)
		if requested := r.Header.Get("Access-Control-Request-Headers"); requested != "" && len(requested) <= maxHeaders {
			h.Set("Access-Control-Allow-Headers", requested)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// Remove deletes the headers that another server's policy has set on a response.
func Remove(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
}
