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

// gpuState is what the fleet thinks of a GPU.
type gpuState struct {
	uuid   string
	index  int // NVML's; -1 while it has none that is known
	device gpu.Device
	wellAt time.Duration // when the driver was last asked and found nothing wrong with it; 0: never

	quarantined bool
	drained     bool   // by hand
	manual      bool   // no probe can tell that it is sound: only resume, or a reboot, lifts the quarantine
	reason      string // of the quarantine
	since       time.Time
	passed      int // probes since the last sign of sickness
}

func (g *gpuState) blocked() bool { return g.quarantined || g.drained }

func (g *gpuState) text() string {
	if g.quarantined {
		return g.reason
	}
	return "drained by hand"
}

// happened judges news of a GPU. What the process on it is to blame for is not the GPU's fault.
func (m *machine) handleGPUEvent(o gpuEvent) {
	e := o.event
	g := m.gpus[e.UUID]
	if e.Missed > 0 || g == nil {
		return // The next inventory tells.
	}
	reason := e.Kind.String()
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
			// Where the driver knows no recovery action, a GPU that waits for its reset may answer every question.
			m.quarantine(g, reason, o.wall, e.Recovery == nil && !e.ByDriver)
			return
		}
		m.log.Warn("GPU event", "gpu", e.UUID, "event", reason, "class", e.Class.String())
	case gpu.KindLost, gpu.KindNeedsRepair, gpu.KindNotAnswering, gpu.KindFailed:
		m.quarantine(g, reason, o.wall, false)
	}
}

func (m *machine) quarantine(g *gpuState, reason string, wall time.Time, manual bool) {
	g.passed = 0
	g.manual = g.manual || manual
	if g.quarantined {
		return
	}
	g.quarantined, g.reason, g.since = true, reason, wall
	m.dirty = true
	m.log.Error("GPU is quarantined", "gpu", g.uuid, "reason", reason)
}

// release ends a quarantine.
func (m *machine) release(g *gpuState, reason string) {
	m.dirty = true
	if g.quarantined {
		m.log.Info("GPU is released from quarantine", "gpu", g.uuid, "reason", reason, "was", g.reason)
	}
	g.quarantined, g.manual, g.reason, g.passed, g.since = false, false, "", 0, time.Time{}
	for _, s := range m.placements {
		if s.GPU == g.uuid {
			s.resetFailures() // What failed there may have failed because of it.
		}
	}
}

// inventory takes the GPUs as they are, which is also the probe that a quarantined one must pass.
func (m *machine) inventory(o inventory) {
	if (o.err == nil) != (m.driver == nil) {
		m.log.Warn("the GPUs' driver", "error", fmt.Sprint(o.err))
	}
	m.driver = o.err
	for _, d := range o.devices {
		m.releaseIndex(d.Index, d.UUID)
		g := m.gpus[d.UUID]
		if g == nil || errors.Is(d.Err, context.Canceled) || errors.Is(d.Err, context.DeadlineExceeded) {
			continue
		}
		g.index, g.device = d.Index, d
		if d.Err != nil {
			m.quarantine(g, d.Err.Error(), o.wall, false)
			continue
		}
		g.wellAt = o.since
		if g.quarantined && !g.manual {
			if g.passed++; g.passed >= m.cfg.GPU.Probes {
				m.release(g, fmt.Sprintf("it passed %d probes", g.passed))
			}
		}
	}
}

// found takes an index from the GPU that had it before the driver counted anew.
func (m *machine) releaseIndex(index int, uuid string) {
	for _, g := range m.gpus {
		if g.index == index && g.uuid != uuid && uuid != "" {
			g.index = -1
		}
	}
}

// drainGPU takes a GPU out of use by hand.
func (m *machine) drainGPU(uuid string) error {
	g := m.gpus[uuid]
	if g == nil {
		return fmt.Errorf("%q is no GPU of this fleet", uuid)
	}
	if !g.drained {
		g.drained, m.dirty = true, true
		m.log.Info("GPU is drained by hand", "gpu", uuid)
	}
	return nil
}

// sortedGPUs lists the GPUs in NVML's order.
func (m *machine) sortedGPUs() []*gpuState {
	return slices.SortedFunc(maps.Values(m.gpus), func(a, b *gpuState) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.uuid, b.uuid))
	})
}

// A container can lose its GPU while the machine still has it: systemd's daemon-reload may take the right to open the
// driver's devices away. Only a new container brings it back. What the replica says of itself is therefore held against
// what the driver says on the machine, asked after that: a GPU that is sick there is quarantined instead.

// misses is told whether the replica says that it does not reach its GPU any more.
func (r *replica) reportGPULost(lost bool) {
	if lost && !r.lost && r.placement.GPU != "" {
		r.lostAt = r.now()
		r.placement.m.do(readGPUs{})
	}
	r.lost = lost
}

// isDetached tells whether it lost a GPU that is well. A driver that does not answer says neither.
func (r *replica) lostHealthyGPU() bool {
	return r.lost && r.cause == notEnding && !r.placement.blocked() && r.placement.m.gpuHealthy(r.placement.Placement, r)
}

// has tells whether the driver found a place's GPU well after a replica said that it had lost it.
func (m *machine) gpuHealthy(p Placement, r *replica) bool {
	g := m.gpus[p.GPU]
	if g == nil || g.wellAt < r.lostAt {
		return false
	}
	return p.Device == p.GPU || slices.ContainsFunc(g.device.Instances, func(in gpu.Instance) bool { return in.UUID == p.Device })
}

// reattach replaces the replicas that lost a GPU which is well: at once where they answer no more images, one after the
// other where they still do, since all on the machine lose theirs at the same moment.
func (m *machine) replaceGPULost() {
	stable := true
	for _, r := range m.replicas() {
		stable = stable && (r.state == Ready || r.state == Stuck)
	}
	for _, s := range m.placements {
		stable = stable && (s.current != nil || !s.enabled())
	}
	for _, r := range m.replicas() {
		if !r.lostHealthyGPU() || r.state == Ready && !stable {
			continue
		}
		stable = stable && r.state != Ready
		r.end(endGPULost, "its container lost the GPU, which is well on the machine: "+cmp.Or(r.reason, "it still answers"))
	}
}

// mayCome tells whether an empty place gets a replica by itself.
func (s *placementState) enabled() bool { return !s.m.shuttingDown && !s.blocked() && !s.failed }
