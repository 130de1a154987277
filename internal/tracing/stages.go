package tracing

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Stages records the stages of a request: spans below the request's own.
type Stages struct{ ctx context.Context } //nolint:containedctx // it stands for the span in it

// StagesOf returns the stages of the request whose span is in ctx, nil if it is not recorded.
func StagesOf(ctx context.Context) *Stages {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	return &Stages{ctx}
}

// Link refers to a request from the spans of others.
type Link struct{ context trace.SpanContext }

// Link returns the link to the request. It is the zero Link for a request that is not recorded.
func (s *Stages) Link() Link {
	if s == nil {
		return Link{}
	}
	return Link{trace.SpanContextFromContext(s.ctx)}
}

// Record records a stage that is over, and its links to other requests, without zero Links.
func (s *Stages) Record(name string, start, end time.Time, links []Link, attrs ...slog.Attr) {
	if s == nil {
		return
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(start), trace.WithAttributes(attributesOf(attrs)...)}
	for _, l := range links {
		if l.context.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: l.context}))
		}
	}
	_, span := trace.SpanFromContext(s.ctx).TracerProvider().Tracer(scope).Start(s.ctx, name, options...)
	span.End(trace.WithTimestamp(end))
}
