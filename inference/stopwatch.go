package inference

import (
	"context"
	"log/slog"
	"time"

	"fovea/inference/batcher"
	"fovea/internal/tracing"
)

// stopwatch measures the stages of an image one after the other, and records them in the trace of its request.
type stopwatch struct {
	*Timing

	last   time.Time       // when the stage in progress began
	stages *tracing.Stages // nil: not traced
}

func newStopwatch(ctx context.Context, timing *Timing) stopwatch {
	return stopwatch{timing, time.Now(), tracing.StagesOf(ctx)}
}

// lap ends a stage and adds its duration to sum. The next stage begins.
func (s *stopwatch) lap(stage string, sum *time.Duration) {
	now := time.Now()
	*sum += now.Sub(s.last)
	s.stages.Record(stage, s.last, now, nil)
	s.last = now
}

// ran ends the wait for a run and the run, as the batcher measured them.
func (s *stopwatch) ran(h *batcher.Handle) {
	s.Queue += h.QueueTime()
	s.Infer = h.RunTime()
	s.stages.Record(StageQueue, s.last, h.Started(), nil)
	s.recordRun(h)
	s.last = time.Now()
}

// recordRun records the run of a row's batch.
func (s *stopwatch) recordRun(h *batcher.Handle) {
	if s.stages == nil {
		return
	}
	began := h.Started()
	rows, _ := h.Rows()
	s.stages.Record(StageInfer, began, began.Add(h.RunTime()), linksToOthers(h), slog.Int("fovea.batch_size", rows), slog.String("fovea.device", h.Device()))
}

// commit hands over the row, and lets the other requests of its run link to this one.
func (s *stopwatch) commit(h *batcher.Handle) {
	if s.stages != nil {
		h.Tag(s.stages.Link())
	}
	h.Commit()
}

// linksToOthers refer to the other requests in the batch.
func linksToOthers(h *batcher.Handle) (links []tracing.Link) {
	for _, tag := range h.Others() {
		if link, ok := tag.(tracing.Link); ok {
			links = append(links, link)
		}
	}
	return links
}
