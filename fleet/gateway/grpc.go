package gateway

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
	"fovea/internal/httpserver"
	"fovea/internal/requestid"
)

// The services that are forwarded. grpc.health.v1 is the gateway's own.
const (
	inferenceService = "/inference.GRPCInferenceService/"
	healthPrefix     = "/grpc.health.v1.Health/"
)

// streams are the methods whose clients may send any number of messages. The service has an answer for each.
var streams = map[string]bool{
	inferenceService + "ModelStreamInfer":                            true,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      true,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
}

func isStream(path string) bool { return streams[path] }

// isInference reports whether a method is ModelInfer or ModelStreamInfer.
func isInference(path string) bool {
	return strings.HasPrefix(path, inferenceService) && strings.HasSuffix(path, "Infer")
}

// isForwarded reports whether replicas answer a method.
func isForwarded(path string) bool {
	return strings.HasPrefix(path, inferenceService) || isStream(path)
}

// callServer is what the gateway has for gRPC.
type callServer struct {
	http     *http.Server
	conns    connTracker
	open     *admission.Controller // calls, for as long as they last
	health   *grpc.Server
	upstream *http.Transport
}

func (g *Gateway) newCallServer() *callServer {
	s := &callServer{open: admission.New(g.cfg.admissionLimits()), health: g.healthServer(), upstream: callTransport(g.cfg)}
	s.http = httpserver.New(http.HandlerFunc(g.serveCall), 0, 0, g.log)
	s.conns.Connections = httpserver.Watch(s.http)
	return s
}

// ServeGRPC serves calls on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (g *Gateway) ServeGRPC(l net.Listener) error { return g.serve(l, g.calls.http, &g.calls.conns) }

// serveCall answers a call.
func (g *Gateway) serveCall(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), grpcstatus.ContentType) {
		http.Error(w, "this port is for gRPC, over HTTP/2", http.StatusUnsupportedMediaType)
		return
	}
	if g.draining.Load() {
		w.Header().Set("Connection", "close") // GOAWAY
	}
	rc := &requestContext{id: requestid.Of(r.Header.Get(requestIDHeader)), start: time.Now(), http2: true, predict: isInference(r.URL.Path)}
	c := &call{gateway: g, w: w, rc: rc, conn: http.NewResponseController(w), stream: isStream(r.URL.Path)}
	route := access.CallOf(r.URL.Path, "")
	leave, err := g.enter(w, r, rc, route)
	if err == nil && strings.HasPrefix(r.URL.Path, healthPrefix) {
		defer leave()
		g.serveHealth(w, r, rc)
		return
	}
	if rc.predict && (err == nil || rc.client.Key() != "") { // not what anyone can send
		r, rc.span = g.tracer.Start(r, r.URL.Path)
	}
	c.r = r
	defer func() { g.conclude(r, rc, c.attributes(), c.bytes) }()
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	switch {
	case err != nil:
		leave()
	case !isForwarded(r.URL.Path):
		leave()
		c.finish(codes.Unimplemented, "unknown service or method "+apierror.Quote(r.URL.Path))
	default:
		err = c.run(route, leave)
	}
	if err != nil {
		c.refuse(err)
	}
}

// attributes are the call's own in the access log.
func (c *call) attributes() slog.Attr {
	return slog.Group("", slog.String("method", "gRPC"), slog.String("grpc_status", c.status.String()))
}

// serve serves on a listener with the gateway's TLS.
func (g *Gateway) serve(l net.Listener, s *http.Server, conns *connTracker) error {
	if !conns.listen(l) {
		return l.Close()
	}
	defer conns.serving.Done()
	g.watchOnce.Do(g.startWatching)
	if err := httpserver.Serve(s, g.protection.Listener(l)); err != nil && !conns.isClosed() {
		return err
	}
	return nil
}
