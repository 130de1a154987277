package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/cors"
	"fovea/internal/requestid"
)

// ServeHTTP answers the gateway's own routes and passes all others on, untouched.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	own, ok := g.routes[r.URL.Path]
	if ok && r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // so that the answer does not wait for a body that nobody reads
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger))
	}
	switch {
	case !ok:
		g.pass(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		x := &exchange{id: requestid.Of(r.Header.Get(requestIDHeader))}
		refuse(w, x, apierror.New(apierror.MethodNotAllowed, "the gateway's own routes answer GET and HEAD only"))
	default:
		own.ServeHTTP(w, r)
	}
}

// pass gives a request to a replica.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request) {
	x := &exchange{id: requestid.Of(r.Header.Get(requestIDHeader)), start: time.Now(), http2: r.ProtoMajor > 1}
	x.predict = r.Method == http.MethodPost
	out := &answer{ResponseWriter: w, exchange: x}
	w.Header()[requestIDHeader] = []string{x.id}
	defer out.drain(r)
	defer g.finish(r, out, x)
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	if err := g.admit(out, r, x); err != nil {
		refuse(out, x, apierror.From(err))
		out.ended = true
		return
	}
	defer x.admitted.Release()
	if r.ContentLength != 0 {
		// Without this, net/http reads the rest of the body before it sends an answer that comes early.
		// Then it must not be left to net/http, either: see body.fence.
		_ = http.NewResponseController(out).EnableFullDuplex() // where it is no server's, nothing is read on
		defer x.fence(out)
	}
	if r.Method == http.MethodConnect || r.RequestURI == "*" {
		refuse(out, x, apierror.New(apierror.MethodNotAllowed, "the gateway passes requests on to routes only"))
		out.ended = true
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), g.total, errTotal)
	defer cancel()
	if err := x.begin(r); err != nil {
		refuse(out, x, apierror.From(err))
		out.ended = true
		return
	}
	g.proxy.ServeHTTP(out, x.within(ctx, r))
	out.ended = true
}

// reverseProxy makes what knows HTTP's rules for those in between: headers of one hop, 1xx answers, trailers.
func (g *Gateway) reverseProxy(rt http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      rt,
		FlushInterval:  -1, // what arrives is sent on
		BufferPool:     buffers,
		ErrorLog:       slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // the access log says it at its own level
		ModifyResponse: g.modify,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, exchangeOf(r.Context()), apierror.From(err))
		},
	}
}

// rewrite makes the replica's request. Where it goes is the retrier's to say. What the client says of proxies before
// this one is dropped, since nobody has checked it.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.RawQuery = p.In.URL.RawQuery // with what ReverseProxy finds hard to read
	p.Out.Host = p.In.Host
	p.SetXForwarded()
	p.Out.Header[requestIDHeader] = []string{exchangeOf(p.In.Context()).id}
	p.Out.Header.Del("Connection") // no change of protocol: there is none
	p.Out.Header.Del("Upgrade")
}

func (g *Gateway) modify(res *http.Response) error {
	if g.pages.Enabled() {
		cors.Remove(res.Header)
	}
	x := exchangeOf(res.Request.Context())
	x.admitted.Release()            // a client that is slow to read its answer holds no slot
	res.Header.Del(requestIDHeader) // the client has it from the gateway, the same
	return nil
}
