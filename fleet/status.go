package fleet

import (
	"time"
)

// Status is a snapshot of the fleet.
type Status struct {
	Name       string          `json:"name"`
	Gateway    string          `json:"gateway"`        // its address
	GRPC       string          `json:"grpc,omitempty"` // its address for gRPC
	Image      string          `json:"image"`
	Version    string          `json:"version"`
	Generation int             `json:"generation"`
	Wanted     int             `json:"wanted"` // replicas
	Ready      int             `json:"ready"`
	Rollout    *RolloutStatus  `json:"rollout,omitempty"` // in progress, or failed
	Replicas   []ReplicaStatus `json:"replicas"`
	GPUs       []GPUStatus     `json:"gpus"`
	Problems   []string        `json:"problems"` // errors of the Docker engine, the driver and the disk
}

// RolloutStatus is a rollout in progress, or the last one if it failed.
type RolloutStatus struct {
	Image      string   `json:"image"`
	Generation int      `json:"generation"`
	Placement  string   `json:"placement,omitempty"` // current placement
	Done       int      `json:"done"`                // placements
	Reason     string   `json:"reason,omitempty"`    // why the Docker engine could not create the new replica; retried
	Failed     string   `json:"failed,omitempty"`
	Log        []string `json:"log,omitempty"` // last lines of the failed replica
}

// ReplicaStatus is a placement and its replica.
type ReplicaStatus struct {
	Name       string        `json:"name"`
	Device     string        `json:"device,omitempty"` // UUID of the GPU or MIG instance
	GPU        string        `json:"gpu,omitempty"`    // UUID of the GPU that the device is, or is part of
	State      State         `json:"state"`
	Since      time.Duration `json:"since_ns"` // time in this state
	Restarts   int           `json:"restarts"` // by this supervisor
	InFlight   int           `json:"in_flight"`
	Generation int           `json:"generation,omitempty"`
	Version    string        `json:"version,omitempty"`
	Container  string        `json:"container,omitempty"`
	URL        string        `json:"url,omitempty"`
	GRPC       string        `json:"grpc,omitempty"` // its address for gRPC
	Reason     string        `json:"reason,omitempty"`
	Log        []string      `json:"log,omitempty"` // last lines of a failed replica
	RetryIn    time.Duration `json:"retry_in_ns,omitempty"`
}

// GPUStatus is a GPU of the fleet.
type GPUStatus struct {
	UUID        string     `json:"uuid"`
	Index       int        `json:"index"` // NVML index; -1 if unknown
	Name        string     `json:"name,omitempty"`
	State       string     `json:"state"` // ok, quarantined or drained
	Reason      string     `json:"reason,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	Passed      int        `json:"probes_passed,omitempty"` // since the quarantine began
	Manual      bool       `json:"needs_resume,omitempty"`  // probes cannot end the quarantine
	MemoryUsed  uint64     `json:"memory_used,omitempty"`   // bytes
	MemoryTotal uint64     `json:"memory_total,omitempty"`
	Utilization *float64   `json:"utilization,omitempty"` // 0 to 1
	Temperature *float64   `json:"temperature,omitempty"` // °C
	ECC         *uint64    `json:"ecc_uncorrected,omitempty"`
}

// status returns the status without what only the Supervisor knows.
func (m *machine) status() Status {
	s := Status{
		Name: m.cfg.Name, Wanted: len(m.placements), Ready: len(m.serving()), GPUs: []GPUStatus{}, Problems: []string{}, Replicas: []ReplicaStatus{},
	}
	if m.active != nil {
		s.Image, s.Version, s.Generation = m.active.Image, m.active.Version, m.active.Generation
	}
	for _, placement := range m.placements {
		s.Replicas = append(s.Replicas, placement.status())
		if placement.next != nil {
			s.Replicas = append(s.Replicas, placement.next.status())
		}
	}
	for _, r := range m.orphans {
		s.Replicas = append(s.Replicas, r.status())
	}
	for _, g := range m.sortedGPUs() {
		s.GPUs = append(s.GPUs, g.status())
	}
	s.Rollout = m.rolloutStatus()
	if m.engineErr != nil {
		s.Problems = append(s.Problems, "Docker engine: "+m.engineErr.Error())
	}
	if m.driver != nil {
		s.Problems = append(s.Problems, "GPUs: "+m.driver.Error())
	}
	return s
}

func (m *machine) rolloutStatus() *RolloutStatus {
	switch {
	case m.roll != nil:
		s := &RolloutStatus{Image: m.roll.target.Image, Generation: m.roll.target.Generation, Done: m.roll.index}
		if m.roll.index < len(m.placements) {
			placement := m.placements[m.roll.index]
			s.Placement = placement.Name
			if m.roll.phase == phaseVerify && placement.next == nil {
				s.Reason = placement.reason
			}
		}
		return s
	case m.failed != "" && m.target != nil:
		return &RolloutStatus{Image: m.target.Image, Generation: m.target.Generation, Failed: m.failed, Log: m.failedLog}
	}
	return nil
}

func (s *placementState) status() ReplicaStatus {
	if s.current != nil {
		r := s.current.status()
		r.Restarts = s.restarts
		return r
	}
	r := ReplicaStatus{
		Name: s.Name, Device: s.Device, GPU: s.GPU, State: s.displayState(), Since: s.m.now - s.since, Restarts: s.restarts, Reason: s.reason,
		RetryIn: max(0, s.retryAt-s.m.now),
	}
	if s.blocked() {
		r.Reason = s.blockedReason()
	}
	if s.failed {
		r.Log, r.RetryIn = s.logs, 0
	}
	return r
}

func (r *replica) status() ReplicaStatus {
	s := ReplicaStatus{
		Name: r.id, Device: r.placement.Device, GPU: r.placement.GPU, State: r.state, Since: r.now() - r.since, Generation: r.generation, Container: r.name,
		URL: r.url, GRPC: r.grpc, Reason: r.reason,
	}
	if r.deployment != nil {
		s.Version = r.deployment.Version
	}
	return s
}

func (g *gpuState) status() GPUStatus {
	s := GPUStatus{
		UUID: g.GPU, Index: g.Index, Name: g.device.Name, State: "ok", Utilization: g.device.Utilization,
		Temperature: g.device.Temperature, ECC: g.device.ECCVolatile,
	}
	if g.device.Memory != nil {
		s.MemoryUsed, s.MemoryTotal = g.device.Memory.Used, g.device.Memory.Total
	}
	switch {
	case g.Quarantined:
		s.State, s.Reason, s.Passed, s.Manual, s.Since = "quarantined", g.Reason, g.passed, g.Manual, &g.Since
	case g.Drained:
		s.State = "drained"
	}
	return s
}
