// Package tracing records requests and their stages as OpenTelemetry spans, and sends them over OTLP. It is the only importer
// of OpenTelemetry. A nil *Tracer, *Span or *Stages records nothing and costs nothing.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// exportTimeout bounds one request to the endpoint, its retries included.
const exportTimeout = 10 * time.Second

// closeTimeout bounds Close: a program must end even if the endpoint does not respond.
const closeTimeout = time.Second

// scope is the name of the instrumentation.
const scope = "fovea"

// w3c reads and writes the headers traceparent and tracestate (https://www.w3.org/TR/trace-context/).
var w3c propagation.TraceContext

// Tracer samples requests and sends their spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// New returns a tracer for a program, nil if no endpoint is configured. The configuration must be valid. It does not wait for
// the endpoint: spans wait in a bounded queue, and are dropped when it is full. The SDK's environment variables apply where
// Config has no key, such as OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES.
func New(ctx context.Context, cfg Config, service, version string, log *slog.Logger) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer is one that records nothing
	}
	exporter, err := newExporter(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("traces.endpoint: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version)), resource.WithFromEnv(), resource.WithHost())
	if err != nil {
		log.Warn("traces have no or few resource attributes", "error", err)
	}
	return newTracer(cfg, about, exporter, log.With("endpoint", cfg.Endpoint)), nil
}

func newExporter(ctx context.Context, cfg Config) (sdktrace.SpanExporter, error) {
	if cfg.Protocol == "grpc" {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(cfg.Endpoint), otlptracegrpc.WithTimeout(exportTimeout))
	}
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if endpoint.Path == "" || endpoint.Path == "/" { // as the specification has it for OTEL_EXPORTER_OTLP_ENDPOINT
		endpoint = endpoint.JoinPath("v1/traces")
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithTimeout(exportTimeout))
}

func newTracer(cfg Config, about *resource.Resource, exporter sdktrace.SpanExporter, log *slog.Logger) *Tracer {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&loggedExporter{SpanExporter: exporter, log: log}),
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))),
	)
	return &Tracer{provider, provider.Tracer(scope), log}
}

// Close sends the spans that wait, within closeTimeout, and stops.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were not sent", "error", err)
	}
}

// Span is a request.
type Span struct{ span trace.Span }

// Start begins the span of a request that a server has received, as a child of the span in its traceparent header, if there is one. route is
// the route's pattern, or empty. The request returned carries the span in its context. The span must be ended.
func (t *Tracer) Start(r *http.Request, route string) (*http.Request, *Span) {
	if t == nil {
		return r, nil
	}
	name, attributes := r.Method, []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(r.Method), semconv.URLPath(r.URL.Path)}
	if route != "" {
		name, attributes = r.Method+" "+route, append(attributes, semconv.HTTPRoute(route))
	}
	ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	return r.WithContext(ctx), &Span{span}
}

// Inject sets the headers that make the receiver of a request continue the trace of ctx. It does nothing without a span in ctx.
func Inject(ctx context.Context, header http.Header) {
	w3c.Inject(ctx, propagation.HeaderCarrier(header))
}

// End ends the span with the response's status and the error's code, if there is one.
func (s *Span) End(status int, code string, attrs ...slog.Attr) {
	if s == nil {
		return
	}
	if s.span.IsRecording() {
		s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		s.span.SetAttributes(attributesOf(attrs)...)
		if code != "" {
			s.span.SetAttributes(semconv.ErrorTypeKey.String(code))
		}
		if status >= http.StatusInternalServerError { // a client's error is none of the server's span
			s.span.SetStatus(codes.Error, code)
		}
	}
	s.span.End()
}

// attributesOf are log attributes as those of a span.
func attributesOf(attrs []slog.Attr) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		switch key := attribute.Key(a.Key); a.Value.Kind() {
		case slog.KindInt64:
			list = append(list, key.Int64(a.Value.Int64()))
		case slog.KindBool:
			list = append(list, key.Bool(a.Value.Bool()))
		case slog.KindFloat64:
			list = append(list, key.Float64(a.Value.Float64()))
		default:
			list = append(list, key.String(a.Value.String()))
		}
	}
	return list
}
