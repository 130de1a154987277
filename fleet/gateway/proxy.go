package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/cors"
	"fovea/internal/httpserver"
	"fovea/internal/requestid"
	"fovea/internal/tracing"
)

// ServeHTTP serves the gateway's own routes and forwards all others unchanged.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	own, ok := g.routes[r.URL.EscapedPath()]
	if ok && r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the response must not wait for a body that is not read
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.lingerTimeout))
	}
	switch {
	case !ok:
		g.forward(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		rc := &requestContext{id: requestid.Of(r.Header.Get(requestIDHeader))}
		refuse(w, rc, apierror.New(apierror.MethodNotAllowed, "this route allows GET and HEAD only"))
	default:
		g.serveOwn(w, r, own)
	}
}

// serveOwn serves one of the gateway's own routes.
func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request, own http.Handler) {
	_, leave, err := g.protection.Guard.Enter(access.RouteOf(r), access.CallerOf(r))
	defer leave()
	if err != nil {
		refuse(w, &requestContext{id: requestid.Of(r.Header.Get(requestIDHeader))}, apierror.From(err))
		return
	}
	own.ServeHTTP(w, r)
}

// enter has the guard admit a request or call that is to be forwarded.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, rc *requestContext, route access.Route) (leave func(), err error) {
	rc.client, leave, err = g.protection.Guard.Enter(route, access.CallerOf(r))
	if err == nil {
		return leave, nil
	}
	rc.denied = apierror.From(err).Code != apierror.PermissionDenied
	if errors.Is(err, access.ErrFlood) {
		g.protection.Guard.HoldBack(r.Context())
		if httpserver.IsLong(r) && !rc.http2 {
			w.Header().Set("Connection", "close") // the body is not worth reading
		}
	}
	return leave, err
}

// forward sends a request to a backend.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request) {
	rc := &requestContext{id: requestid.Of(r.Header.Get(requestIDHeader)), start: time.Now(), http2: r.ProtoMajor > 1}
	rc.predict = r.Method == http.MethodPost
	route := access.RouteOf(r)
	route.Named = true // only the replica knows its default model, and what a list contains
	leave, err := g.enter(w, r, rc, route)
	defer leave()
	if rc.predict && (err == nil || rc.client.Key() != "") { // not what anyone can send
		r, rc.span = g.tracer.Start(r, "")
	}
	out := &responseWriter{ResponseWriter: w, rc: rc}
	w.Header()[requestIDHeader] = []string{rc.id}
	defer out.linger(r, g.lingerTimeout)
	defer g.finish(r, out, rc)
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	if err == nil {
		err = g.admit(out, r, rc)
	}
	if err != nil {
		refuse(out, rc, apierror.From(err))
		out.ended = true
		return
	}
	defer rc.admitted.Release()
	if r.ContentLength != 0 {
		// Without this, net/http reads the rest of the body before it sends an early response. With it, the body must not be
		// left to net/http: see body.seal.
		_ = http.NewResponseController(out).EnableFullDuplex() // fails only outside a server, as in tests
		defer rc.seal(out)
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), g.requestTimeout, errTotal)
	defer cancel()
	if r.Method == http.MethodConnect || r.RequestURI == "*" {
		refuse(out, rc, apierror.New(apierror.MethodNotAllowed, "the request target must be a path"))
	} else if err := rc.readFirstBytes(r); err != nil {
		refuse(out, rc, apierror.From(err))
	} else {
		g.proxy.ServeHTTP(out, rc.forProxy(ctx, r))
	}
	out.ended = true
}

// reverseProxy implements HTTP's rules for intermediaries: hop-by-hop headers, 1xx responses, trailers.
func (g *Gateway) reverseProxy(rt http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		Transport:      rt,
		FlushInterval:  -1, // at once
		BufferPool:     buffers,
		ErrorLog:       slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // the access log has it, at its own level
		ModifyResponse: g.modify,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, requestContextOf(r.Context()), apierror.From(err))
		},
	}
}

// rewrite builds the replica's request; the retrier sets the address. Forwarding headers from the client are dropped, since
// they cannot be trusted.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.RawQuery = p.In.URL.RawQuery // including what ReverseProxy cannot parse
	p.Out.Host = p.In.Host
	p.SetXForwarded()
	g.introduce(p.In.Context(), p.Out.Header, requestContextOf(p.In.Context()))
	p.Out.Header.Del("Connection") // there is no protocol to upgrade to
	p.Out.Header.Del("Upgrade")
}

// introduce sets what a replica is to know of a request's client in its headers. API keys that the gateway has checked are dropped:
// replicas have no use for them.
func (g *Gateway) introduce(ctx context.Context, h http.Header, rc *requestContext) {
	tracing.Inject(ctx, h)
	h[requestIDHeader] = []string{rc.id}
	if rc.client.Address.IsValid() {
		h["X-Forwarded-For"] = []string{rc.client.Address.String()}
	}
	if g.protection.Guard.NeedsKeys() {
		h.Del("Authorization")
		h.Del("X-API-Key")
	}
}

func (g *Gateway) modify(res *http.Response) error {
	if g.cors.Enabled() {
		cors.Remove(res.Header)
	}
	rc := requestContextOf(res.Request.Context())
	rc.admitted.Release()           // a client that is slow to read its response holds no admission
	res.Header.Del(requestIDHeader) // the gateway has set it already
	return nil
}

// refuse responds with an error.
func refuse(w http.ResponseWriter, rc *requestContext, e *apierror.Error) {
	rc.err = e
	if e.Code == apierror.Canceled {
		rc.status = e.Code.Status()
		panic(http.ErrAbortHandler) // closes the connection; net/http would respond with 200 otherwise
	}
	httpserver.WriteError(w, e, rc.id, nil)
}
