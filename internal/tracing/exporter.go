package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// loggedExporter logs when sending begins to fail and when it works again, instead of each failure.
type loggedExporter struct {
	sdktrace.SpanExporter

	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter. Errors are logged here and not returned: the SDK would log each of them.
func (e *loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.failing.Swap(true):
		e.log.Warn("traces cannot be sent; their spans are dropped", "error", err)
	case err == nil && e.failing.Swap(false):
		e.log.Info("traces are sent again")
	}
	return nil
}
