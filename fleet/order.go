package fleet

// startFirst tells whether the new replica may come up beside the old one.
func (m *machine) startFirst(s *placementState) bool {
	switch {
	case m.cfg.Rollout.Order != OrderAuto:
		return m.cfg.Rollout.Order == OrderStartFirst
	case s.GPU == "":
		return true
	}
	memory := m.gpus[s.GPU].device.Memory
	if s.Device != s.GPU {
		memory = nil
		for _, in := range m.gpus[s.GPU].device.Instances {
			if in.UUID == s.Device {
				memory = in.Memory
			}
		}
	}
	if memory == nil {
		return false
	}
	there := uint64(0)
	for _, r := range m.replicas() {
		if r.placement.Device == s.Device && r.state == Ready {
			there++
		}
	}
	one := memory.Used / max(there, 1) // at most what one takes, since others may use the GPU too
	return memory.Used+one <= memory.Total/100*95
}
