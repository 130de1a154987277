package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fovea/gpu"
)

// gpuState is a GPU and whether it may be used.
type gpuState struct {
	quarantineRecord
	device    gpu.Device
	healthyAt time.Duration // when the driver was last asked and reported no error; 0: never
	passed    int           // consecutive good probes since the last error
}

func (g *gpuState) blocked() bool { return g.Quarantined || g.Drained }

// apply quarantines a GPU if an event says that it is faulty. Errors of the application do not count.
func (o gpuEvent) apply(m *machine) {
	e := o.event
	g := m.gpus[e.UUID]
	if e.Missed > 0 || g == nil {
		return // The next inventory detects what was missed.
	}
	reason := string(e.Kind)
	if e.Kind == gpu.KindXID {
		reason = fmt.Sprintf("XID %d (%s)", e.XID, e.Class)
	}
	if e.Recovery != nil && *e.Recovery != gpu.RecoveryNone {
		reason += fmt.Sprintf(", recovery action %q", *e.Recovery)
	}
	if e.Err != nil {
		reason += ": " + e.Err.Error()
	}
	switch e.Kind {
	case gpu.KindXID, gpu.KindECC, gpu.KindRecovery:
		if e.Class == gpu.ClassReset || e.Class == gpu.ClassOut {
			// Without a recovery action from the driver, a GPU that needs a reset may pass every probe.
			m.quarantine(g, reason, o.wall, e.Recovery == nil && !e.ByDriver)
			return
		}
		m.log.Warn("GPU event", "gpu", e.UUID, "event", reason, "class", string(e.Class))
	case gpu.KindLost, gpu.KindNeedsRepair, gpu.KindNotAnswering, gpu.KindFailed:
		m.quarantine(g, reason, o.wall, false)
	}
}

func (m *machine) quarantine(g *gpuState, reason string, wall time.Time, manual bool) {
	g.passed = 0
	g.Manual = g.Manual || manual
	if g.Quarantined {
		return
	}
	g.Quarantined, g.Reason, g.Since = true, reason, wall
	m.dirty = true
	m.log.Error("GPU quarantined", "gpu", g.GPU, "reason", reason)
}

// release ends a quarantine.
func (m *machine) release(g *gpuState, reason string) {
	m.dirty = true
	if g.Quarantined {
		m.log.Info("GPU released from quarantine", "gpu", g.GPU, "reason", reason, "was", g.Reason)
	}
	g.Quarantined, g.Manual, g.Reason, g.passed, g.Since = false, false, "", 0, time.Time{}
	for _, s := range m.placements {
		if s.GPU == g.GPU {
			s.resetFailures() // The failures there may have been the GPU's.
		}
	}
}

// apply updates the GPUs. For a quarantined GPU it is a probe.
func (o inventory) apply(m *machine) {
	switch {
	case o.err != nil && m.driver == nil:
		m.log.Warn("cannot read GPUs", "error", o.err.Error())
	case o.err == nil && m.driver != nil:
		m.log.Info("GPUs readable again")
	}
	m.driver = o.err
	for _, d := range o.devices {
		m.releaseIndex(d.Index, d.UUID)
		g := m.gpus[d.UUID]
		if g == nil || errors.Is(d.Err, context.Canceled) || errors.Is(d.Err, context.DeadlineExceeded) {
			continue
		}
		g.Index, g.device = d.Index, d
		if d.Err != nil {
			m.quarantine(g, d.Err.Error(), o.wall, false)
			continue
		}
		g.healthyAt = o.since
		if g.Quarantined && !g.Manual {
			if g.passed++; g.passed >= m.cfg.GPU.Probes {
				m.release(g, fmt.Sprintf("passed %d probes", g.passed))
			}
		}
	}
}

// releaseIndex clears an index that the driver has reassigned to another GPU.
func (m *machine) releaseIndex(index int, uuid string) {
	for _, g := range m.gpus {
		if g.Index == index && g.GPU != uuid && uuid != "" {
			g.Index = -1
		}
	}
}

// drainGPU takes a GPU out of use.
func (m *machine) drainGPU(uuid string) error {
	g := m.gpus[uuid]
	if g == nil {
		return fmt.Errorf("%q is not a GPU of this fleet", uuid)
	}
	if !g.Drained {
		g.Drained, m.dirty = true, true
		m.log.Info("GPU drained", "gpu", uuid)
	}
	return nil
}

// sortedGPUs returns the GPUs by NVML index.
func (m *machine) sortedGPUs() []*gpuState {
	return slices.SortedFunc(maps.Values(m.gpus), func(a, b *gpuState) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.GPU, b.GPU))
	})
}

// A container can lose access to its GPU while the host keeps it, for example when systemd's daemon-reload resets
// device permissions. Only a new container gets it back. So when a replica reports a lost GPU, the driver is asked on
// the host: a healthy GPU means a new container, a faulty one is quarantined.

// reportGPULost records whether the replica reports that it cannot access its GPU.
func (r *replica) reportGPULost(lost bool) {
	if lost && !r.lost && r.placement.GPU != "" {
		r.lostAt = r.now()
		r.m.do(readGPUs{})
	}
	r.lost = lost
}

// lostHealthyGPU reports whether the replica lost access to a GPU that the driver has since found healthy.
func (r *replica) lostHealthyGPU() bool {
	p := r.placement
	g := r.m.gpus[p.GPU]
	if !r.lost || r.cause != notEnding || p.blocked() || g == nil || g.healthyAt < r.lostAt {
		return false
	}
	return p.Device == p.GPU || slices.ContainsFunc(g.device.Instances, func(in gpu.Instance) bool { return in.UUID == p.Device })
}

// replaceGPULost replaces replicas that lost access to a healthy GPU: at once if they are not ready, otherwise one at a
// time, since all containers on a host lose access together.
func (m *machine) replaceGPULost() {
	stable := !slices.ContainsFunc(m.replicas(), func(r *replica) bool { return r.state != Ready && r.state != Stuck }) &&
		!slices.ContainsFunc(m.placements, func(s *placementState) bool { return s.current == nil && s.enabled() })
	for _, r := range m.replicas() {
		if !r.lostHealthyGPU() || r.state == Ready && !stable {
			continue
		}
		stable = stable && r.state != Ready
		r.end(endGPULost, "container lost access to its GPU, which is healthy on the host: "+cmp.Or(r.reason, "still ready"))
	}
}
