package v2grpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // a compressor
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/health"
	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
	"fovea/internal/httpserver"
	"fovea/internal/panics"
	"fovea/internal/tracing"
	v2 "fovea/internal/v2"
)

// Health reports whether the server is live and ready.
type Health interface{ Report() health.Report }

// Observer counts requests for inference, for metrics. Status is the HTTP status that belongs to the result.
type Observer interface {
	Inferred(model, version string, rows, status int, code string, d time.Duration)
	Rejected(model, code string)
}

// Parts are what a Server uses.
type Parts struct {
	Core        *v2.Server
	Guard       *access.Guard // shared with HTTP
	Tracer      *tracing.Tracer
	Health      Health
	Admission   *admission.Controller // shared with HTTP
	Observer    Observer
	ClientShare float64       // of a model's queue that one client may hold while others need it
	BodyTimeout time.Duration // for a message to arrive
	Log         *slog.Logger
}

// Server serves the protocol over gRPC.
type Server struct {
	Parts
	maxMessage   int64
	writeTimeout time.Duration
	grpc         *grpc.Server
	service      *service
	http         *http.Server

	mu       sync.Mutex
	open     map[*messages]bool
	draining chan struct{}
}

// New returns a server that does not listen yet.
func New(cfg Config, parts Parts) *Server {
	s := &Server{Parts: parts, maxMessage: int64(cfg.MaxMessageBytes), writeTimeout: writeTimeout,
		open: map[*messages]bool{}, draining: make(chan struct{})}
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(int(cfg.MaxMessageBytes)), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.streaming))
	s.service = &service{server: s}
	pb.RegisterGRPCInferenceServiceServer(s.grpc, s.service)
	healthpb.RegisterHealthServer(s.grpc, &grpcstatus.Health{
		Service: pb.GRPCInferenceService_ServiceDesc.ServiceName, Ready: s.isReady, Closing: s.draining, Reason: "the server is shutting down",
	})
	reflection.Register(s.grpc)
	s.http = httpserver.New(s, 0, 0, parts.Log)
	return s
}

func (s *Server) isReady() bool { return s.Health.Report().Ready() }

// ServeHTTP implements http.Handler. It answers calls, of HTTP/2 only.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), grpcstatus.ContentType) {
		http.Error(w, "this port is for gRPC, over HTTP/2", http.StatusUnsupportedMediaType)
		return
	}
	caller := access.CallerOf(r)
	client, leave, err := s.Guard.Enter(access.CallOf(r.URL.Path, ""), caller)
	if err != nil {
		leave()
		if errors.Is(err, access.ErrFlood) {
			s.Guard.HoldBack(r.Context())
		}
		s.deny(w, r, client, apierror.From(err))
		return
	}
	var span *tracing.Span
	if isInference(r.URL.Path) { // not what machines poll
		r, span = s.Tracer.Start(r, r.URL.Path)
	}
	m := newMessages(s, w, r)
	m.client, m.caller = client, caller
	defer func() { span.End(m.result()) }()
	if m.slots != nil { // each of its messages is a request
		leave()
	} else {
		defer leave()
	}
	s.mu.Lock()
	s.open[m] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, m)
		m.end()
	}()
	select {
	case <-s.draining:
		m.drain()
	default:
	}
	r = r.WithContext(m.ctx)
	r.Body = m
	writer := &timedWriter{ResponseWriter: w, conn: m.conn, limit: s.writeTimeout, once: r.URL.Path == pb.GRPCInferenceService_ModelInfer_FullMethodName, flushed: m.flushed}
	if isPlainInfer(r) {
		s.serveInfer(writer, r, m)
		return
	}
	s.grpc.ServeHTTP(writer, r)
}

// deny ends a call that the guard has refused. Its messages are not read.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, client *access.Client, err *apierror.Error) {
	s.Guard.Count(client, err.Code.Status())
	s.Log.Debug("request", "method", "gRPC", "route", r.URL.Path, "status", grpcstatus.Of(err.Code).String(), "client", client.Address.String(), "error", err.Message)
	grpcstatus.Refuse(w, err)
}

// isInference reports whether a method is ModelInfer or ModelStreamInfer.
func isInference(path string) bool { return strings.HasSuffix(path, "Infer") }

// isStream reports whether clients of a method send any number of messages.
func (s *Server) isStream(path string) bool {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, m := range s.grpc.GetServiceInfo()[service].Methods {
		if m.Name == method {
			return m.IsClientStream
		}
	}
	return false
}

// Serve serves on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error { return httpserver.Serve(s.http, l) }

// Shutdown has streams end after the messages that have been received, and waits for the calls in flight until ctx ends, when the
// remaining ones are aborted.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	select {
	case <-s.draining:
	default:
		close(s.draining)
	}
	for m := range s.open {
		m.drain()
	}
	s.mu.Unlock()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // the error of Shutdown is returned
		return fmt.Errorf("gRPC calls were cut off: %w", err)
	}
	return nil
}

// unary wraps a call of one message.
func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
	start := time.Now()
	err = messagesOf(ctx).refused(0)
	if err == nil {
		err = panics.Catch(func() (err error) {
			response, err = handler(ctx, request)
			return err
		})
	}
	size := 0
	if m, ok := response.(*pb.ModelInferResponse); ok && m != nil {
		size = sizeOf(m)
	}
	messagesOf(ctx).answered(size)
	if m, ok := request.(*pb.ModelInferRequest); ok {
		s.observe(ctx, m, response, err, time.Since(start))
	} else {
		s.count(ctx, err)
	}
	err = s.status(ctx, err)
	s.log(ctx, info.FullMethod, err, time.Since(start))
	return response, err
}

// streaming wraps a call of any number of messages.
func (s *Server) streaming(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := s.status(stream.Context(), panics.Catch(func() error { return handler(service, stream) }))
	s.log(stream.Context(), info.FullMethod, err, time.Since(start))
	return err
}

// observe counts a request for inference.
func (s *Server) observe(ctx context.Context, m *pb.ModelInferRequest, response any, err error, d time.Duration) {
	s.count(ctx, err)
	model, _ := s.Core.Exists(m.GetModelName())
	answer, ok := response.(*pb.ModelInferResponse)
	if err == nil && ok && answer != nil {
		rows := 1
		if outputs := answer.GetOutputs(); len(outputs) > 0 && len(outputs[0].GetShape()) > 0 {
			rows = int(outputs[0].GetShape()[0])
		}
		s.Observer.Inferred(model, answer.GetModelVersion(), rows, http.StatusOK, "ok", d)
		return
	}
	code := apierror.From(err).Code
	s.Observer.Inferred(model, "", 1, code.Status(), string(code), d)
}

// count counts a finished request for its client.
func (s *Server) count(ctx context.Context, err error) {
	m, status := messagesOf(ctx), http.StatusOK
	if err != nil {
		status = apierror.From(err).Code.Status()
	}
	s.Guard.Count(m.client, status)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = err
}

// status turns an error into one with a status of gRPC. Causes of internal errors are logged here, and only here.
func (s *Server) status(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	e := apierror.From(err)
	if e.Cause != nil && e.Code.Status() >= http.StatusInternalServerError {
		panics.LogError(s.Log.With("request_id", requestID(ctx), "code", string(e.Code)), "request failed", e)
	}
	return status.Error(grpcstatus.Of(e.Code), e.Message)
}

// log logs a call.
func (s *Server) log(ctx context.Context, method string, err error, d time.Duration) {
	level := slog.LevelInfo
	if err == nil && !isInference(method) {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("request_id", requestID(ctx)), slog.String("method", "gRPC"), slog.String("route", method),
		slog.String("status", status.Code(err).String()), slog.Duration("duration", d), slog.String("client", messagesOf(ctx).client.Address.String())}
	if err != nil && !errors.Is(err, context.Canceled) {
		attrs = append(attrs, slog.String("error", status.Convert(err).Message()))
	}
	s.Log.LogAttrs(ctx, level, "request", attrs...)
}
