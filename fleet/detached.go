package fleet

import (
	"slices"

	"fovea/gpu"
)

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
		r.end(endGPULost, "its container lost the GPU, which is well on the machine: "+or(r.reason, "it still answers"))
	}
}

// mayCome tells whether an empty place gets a replica by itself.
func (s *placementState) enabled() bool { return !s.m.shuttingDown && !s.blocked() && !s.failed }

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
