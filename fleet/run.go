package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"fovea/fleet/gateway"
	"fovea/internal/httpserver"
)

// Run keeps the fleet until the context ends, and then leaves the replicas running for the next supervisor; or until it
// was told to stop them all. It returns nil in both cases.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.release()
	control, err := listenUnix(ctx, s.cfg.Socket)
	if err != nil {
		return err
	}
	listener := s.deps.Listener
	if listener == nil {
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Gateway.Address); err != nil {
			return errors.Join(fmt.Errorf("gateway.address: %w", err), control.Close())
		}
	}
	s.address = listener.Addr().String()
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	api := s.controlServer(working)
	s.work.Go(func() { ended <- httpserver.Serve(api, control) })
	s.work.Go(func() { s.watchEngine(working) })
	if s.deps.GPUs != nil && !s.cfg.GPUs.None() {
		s.work.Go(func() { s.watchGPUs(working) })
		s.work.Go(func() { s.pollGPUs(working) })
	}
	s.log.Info("supervising", "gateway", s.address, "socket", s.cfg.Socket, "replicas", len(s.machine.placements))
	s.startServing = func() { s.work.Go(func() { ended <- s.gateway.Serve(listener) }) }
	err = s.loop(working, ended)
	if s.startServing != nil {
		err = errors.Join(err, listener.Close())
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingLimit)
	defer cancel()
	err = errors.Join(err, s.gateway.Shutdown(closing))
	stop()
	endControl(api)
	s.work.Wait()
	return errors.Join(err, s.saveFinal())
}

// loop gives the machine the time and what was seen, and does what it says.
func (s *Supervisor) loop(ctx context.Context, ended <-chan error) error {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		var seen []observation
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-ticker.C:
		case o := <-s.inbox:
			seen = append(seen, o)
		case command := <-s.commands:
			command()
		case err := <-s.saved:
			s.saveDone(err)
		}
		s.step(ctx, seen)
		if s.machine.done() {
			s.log.Info("the fleet is stopped")
			if err := s.deps.Engine.RemoveNetwork(ctx, s.cfg.network(), s.cfg.Name); err != nil {
				s.log.Warn("the fleet's network is left", "error", err.Error())
			}
			return nil
		}
	}
}

func (s *Supervisor) now() time.Duration { return time.Since(s.start) } // monotonic: a clock that jumps changes nothing

func (s *Supervisor) step(ctx context.Context, seen []observation) {
	for drained := false; !drained; {
		select {
		case o := <-s.inbox:
			seen = append(seen, o)
		default:
			drained = true
		}
	}
	if s.now()-s.trafficReadAt >= trafficEvery {
		s.trafficReadAt = s.now()
		seen = append(seen, traffic{s.gateway.Pool().Status()})
	}
	actions := s.machine.step(s.now(), seen...)
	s.updateGateway()
	if s.startServing != nil && (s.machine.adoptedProbed() || s.now() >= s.machine.cfg.Health.Timeout) {
		s.startServing()
		s.startServing = nil
	}
	for _, a := range actions {
		s.work.Go(func() { s.perform(ctx, a) })
	}
	s.save()
}

// tellGateway says who gets requests, before anything else is done, if that has changed.
func (s *Supervisor) updateGateway() {
	list := []gateway.Replica{}
	for _, r := range s.machine.serving() {
		list = append(list, gateway.Replica{ID: r.id, URL: r.url})
	}
	if sameReplicas(list, s.serving) {
		return
	}
	if err := s.gateway.Pool().Set(list); err != nil {
		s.log.Error("the gateway refuses the list of replicas", "error", err.Error())
	}
	s.serving = list
}
