package fleet

import (
	"context"
	"time"

	"fovea/docker"
	"fovea/gpu"
)

// resubscribe is the wait after the engine's event stream broke off.
const resubscribe = time.Second

// post sends an observation to the loop, unless the context has ended: then it may be a canceled call's.
func (s *Supervisor) post(ctx context.Context, o observation) {
	if ctx.Err() != nil {
		return
	}
	select {
	case s.inbox <- o:
	case <-ctx.Done():
	}
}

func (a create) perform(ctx context.Context, s *Supervisor) observation {
	return s.executor.create(ctx, a)
}
func (a remove) perform(ctx context.Context, s *Supervisor) observation {
	return s.executor.remove(ctx, a)
}
func (a predict) perform(ctx context.Context, s *Supervisor) observation {
	return s.prober.predict(ctx, a)
}

func (a removeUnplaced) perform(ctx context.Context, s *Supervisor) observation {
	return removedUnplaced{a.id, s.executor.remove(ctx, remove{ref: a.id, grace: a.grace}).err}
}

func (a probe) perform(ctx context.Context, s *Supervisor) observation {
	return s.prober.probe(ctx, a, s.cfg.Health.Timeout)
}

func (a drain) perform(ctx context.Context, s *Supervisor) observation {
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	return drained{a.instanceID, s.gateway.Balancer().Drain(limited, a.id)}
}

func (listContainers) perform(ctx context.Context, s *Supervisor) observation {
	return s.executor.list(ctx, s.now())
}

func (readGPUs) perform(ctx context.Context, s *Supervisor) observation {
	since := s.now()
	found, err := s.deps.GPUs.Inventory(ctx)
	return inventory{since: since, devices: found.Devices, wall: time.Now(), err: err}
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
		s.post(ctx, readGPUs{}.perform(ctx, s))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
