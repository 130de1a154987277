package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fovea/internal/fileutil"
)

// persistentState is what the next supervisor needs, stored as JSON.
type persistentState struct {
	Active      *Deployment        `json:"active,omitempty"`
	Target      *Deployment        `json:"target,omitempty"` // of the rollout in progress, or of the last one if it failed
	Failed      string             `json:"failed,omitempty"` // why it failed
	Quarantines []quarantineRecord `json:"quarantines,omitempty"`
	Placements  []Placement        `json:"placements,omitempty"` // on GPUs: a lost GPU does not report its UUID
	Boot        string             `json:"boot,omitempty"`       // boot ID of the host when it was written
}

// quarantineRecord is whether a GPU is out of use, and why.
type quarantineRecord struct {
	GPU         string    `json:"gpu"`   // UUID
	Index       int       `json:"index"` // NVML index; -1 if unknown
	Quarantined bool      `json:"quarantined"`
	Drained     bool      `json:"drained"`          // manually
	Manual      bool      `json:"manual"`           // probes cannot detect recovery; only resume or a reboot ends the quarantine
	Reason      string    `json:"reason,omitempty"` // of the quarantine
	Since       time.Time `json:"since"`
}

// persistentState returns the state to save.
func (m *machine) persistentState() persistentState {
	p := persistentState{Active: m.active, Target: m.target, Failed: m.failed}
	for _, s := range m.placements {
		if s.GPU != "" {
			p.Placements = append(p.Placements, s.Placement)
		}
	}
	for _, g := range m.sortedGPUs() {
		if g.blocked() {
			p.Quarantines = append(p.Quarantines, g.quarantineRecord)
		}
	}
	return p
}

// setWanted makes d the active deployment, or the target of a rollout. A target that failed is not retried.
func (p *persistentState) setWanted(d Deployment) {
	same := func(other *Deployment) bool { return other != nil && other.Spec.Hash() == d.Spec.Hash() }
	switch {
	case p.Active == nil:
		p.Active, p.Target, p.Failed = &d, nil, ""
	case same(p.Active) && p.Failed == "":
		p.Target = nil
	case same(p.Active), same(p.Target):
	default:
		p.Target, p.Failed = &d, ""
	}
}

// store is the file with the persistent state.
type store struct {
	path string
	boot string
}

func newStore(dir string) *store {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Without it, a reboot is not detected.
	return &store{path: filepath.Join(dir, "state.json"), boot: string(bytes.TrimSpace(boot))}
}

// load reads the saved state, if there is any. After a reboot, which resets GPUs, probes can end every quarantine.
func (s *store) load() (persistentState, error) {
	var p persistentState
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("state: %w", err)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("state: %s: %w; remove the file to start without it, running replicas will be adopted", s.path, err)
	}
	if s.boot != "" && p.Boot != s.boot {
		for i := range p.Quarantines {
			p.Quarantines[i].Manual = false
		}
	}
	return p, nil
}

// save replaces the file atomically.
func (s *store) save(p persistentState) error {
	p.Boot = s.boot
	data, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = fileutil.Replace(s.path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// save starts writing the state if it has changed. The loop does not wait for the disk.
func (s *Supervisor) save() {
	if !s.machine.dirty || s.saving || s.now() < s.saveDue || !s.machine.adopted {
		return
	}
	s.machine.dirty, s.saving = false, true
	saved := s.machine.persistentState()
	go func() { s.saved <- s.store.save(saved) }()
}

func (s *Supervisor) saveDone(err error) {
	s.saving = false
	switch {
	case err != nil && s.saveErr == nil:
		s.log.Error("cannot save state; continuing without", "error", err.Error())
	case err == nil && s.saveErr != nil:
		s.log.Info("state saved again")
	}
	s.saveErr = err
	if err != nil {
		s.machine.dirty = true
		s.saveDue = s.now() + saveRetry
	}
}

// saveFinal waits for a pending save and writes the last state.
func (s *Supervisor) saveFinal() error {
	if s.saving {
		select {
		case err := <-s.saved:
			s.saveDone(err)
		case <-time.After(saveRetry):
			return errors.New("state not saved: the disk does not respond")
		}
	}
	if !s.machine.dirty || !s.machine.adopted {
		return nil
	}
	return s.store.save(s.machine.persistentState())
}
