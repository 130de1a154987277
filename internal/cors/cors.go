// Package cors lets web pages of other origins ask a server: CORS, as the Fetch standard has it. No answer depends on
// credentials, and none is ever allowed to be sent with them.
package cors

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Any and None are the origins of which all, and none, are allowed.
const (
	Any  = "*"
	None = "none"
)

const (
	methods = "GET, HEAD, POST"
	exposed = "X-Request-ID, Retry-After" // what a page may read beside the usual headers
	maxAge  = "7200"                      // seconds that a browser need not ask again; Chromium takes no more

	maxHeaders = 1 << 10 // bytes of the list of headers that a page wants to send
)

// Policy says which origins may ask. The zero value allows none.
type Policy struct {
	any     bool
	origins []string
}

// Parse reads origins with commas between, such as "https://app.example, http://localhost:3000"; Any or None.
func Parse(text string) (Policy, error) {
	switch strings.TrimSpace(text) {
	case Any:
		return Policy{any: true}, nil
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

// On says whether any origin is allowed.
func (p Policy) On() bool { return p.any || len(p.origins) > 0 }

// Allow puts on an answer which origin may read it.
func (p Policy) Allow(h http.Header, r *http.Request) {
	if !p.On() {
		return
	}
	h.Add("Vary", "Origin") // also without one: the answer to a page would have more headers
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return
	case p.any:
		origin = Any
	case !slices.Contains(p.origins, origin):
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposed)
}

// Handler answers preflight requests, and lets pages read what next answers, errors included. Where all is left to next,
// as for a path that no page needs, own is false.
func (p Policy) Handler(next http.Handler, own func(path string) bool) http.Handler {
	if !p.On() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !own(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		p.Allow(w.Header(), r)
		if r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != "" {
			p.preflight(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// preflight says what a page may send. Any header may be: none of them gives rights here.
func (Policy) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Access-Control-Request-Headers")
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Max-Age", maxAge)
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" && len(asked) <= maxHeaders {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// Remove takes off an answer what another server's policy has put on it.
func Remove(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
}
