package fleet

import (
	"context"
	"time"

	"fovea/docker"
	"fovea/gpu"
)

// resubscribe is the wait after the engine's event stream broke off.
const resubscribe = time.Second

// post sends an observation to the loop.
func (s *Supervisor) post(ctx context.Context, o observation) {
	select {
	case s.inbox <- o:
	case <-ctx.Done():
	}
}

// perform performs an action and posts its result.
func (s *Supervisor) perform(ctx context.Context, a action) {
	switch a := a.(type) {
	case create:
		s.post(ctx, s.executor.create(ctx, a))
	case remove:
		s.post(ctx, s.executor.remove(ctx, a))
	case removeUnplaced:
		s.post(ctx, removedUnplaced{a.id, s.executor.remove(ctx, remove{ref: a.id, grace: a.grace}).err})
	case probe:
		s.post(ctx, s.prober.probe(ctx, a, s.cfg.Health.Timeout))
	case predict:
		s.post(ctx, s.prober.predict(ctx, a))
	case drain:
		limited, cancel := context.WithTimeout(ctx, a.limit)
		defer cancel()
		s.post(ctx, drained{a.instanceID, s.gateway.Balancer().Drain(limited, a.id)})
	case listContainers:
		s.post(ctx, s.executor.list(ctx, s.now()))
	case readGPUs:
		s.readGPUs(ctx)
	}
}

// watchEngine follows the engine's events. It lists all containers whenever it subscribes.
func (s *Supervisor) watchEngine(ctx context.Context) {
	for ctx.Err() == nil {
		events, failed := s.deps.Engine.Events(ctx, s.executor.labels())
		s.requestList(ctx)
		for e := range events {
			s.inspect(ctx, e)
		}
		if err := <-failed; err != nil && ctx.Err() == nil {
			s.log.Warn("engine event stream interrupted", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe):
		}
	}
}

// inspect reads the state of the container that an event is about.
func (s *Supervisor) inspect(ctx context.Context, e docker.Event) {
	switch e.Action {
	case "die", "oom", "pause", "unpause":
		status, err := s.deps.Engine.Inspect(ctx, e.ID)
		if err != nil {
			s.requestList(ctx)
			return
		}
		s.post(ctx, seen{inspected(status)})
	case "destroy":
		s.requestList(ctx)
	}
}

func (s *Supervisor) requestList(ctx context.Context) {
	select {
	case s.commands <- s.machine.requestList:
	case <-ctx.Done():
	}
}

func (s *Supervisor) watchGPUs(ctx context.Context) {
	for e := range s.deps.GPUs.Watch(ctx) {
		if e.Kind == gpu.KindInterrupted {
			s.log.Warn("GPU event stream interrupted", "error", e.Err)
		}
		s.post(ctx, gpuEvent{e, time.Now()})
	}
}

// pollGPUs reads the GPUs every gpu.poll. For a quarantined GPU each read is a probe.
func (s *Supervisor) pollGPUs(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.GPU.Poll)
	defer ticker.Stop()
	for {
		s.readGPUs(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Supervisor) readGPUs(ctx context.Context) {
	since := s.now()
	found, err := s.deps.GPUs.Inventory(ctx)
	if ctx.Err() == nil {
		s.post(ctx, inventory{since: since, devices: found.Devices, wall: time.Now(), err: err})
	}
}
