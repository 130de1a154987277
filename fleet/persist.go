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

// Kept is what outlives a supervisor.
type persistentState struct {
	Active      *Deployment  `json:"active,omitempty"`
	Target      *Deployment  `json:"target,omitempty"` // of a roll-out under way, or of the one that failed
	Failed      string       `json:"failed,omitempty"` // why it failed
	Quarantines []Quarantine `json:"quarantines,omitempty"`
	Placements  []Placement  `json:"placements,omitempty"` // with the replicas' GPUs: a lost one does not say its UUID
	Boot        string       `json:"boot,omitempty"`       // which start of the machine this is about
}

// Quarantine is a GPU that is out of use.
type Quarantine struct {
	GPU         string    `json:"gpu"`
	Index       int       `json:"index"`
	Quarantined bool      `json:"quarantined"`
	Drained     bool      `json:"drained"` // by hand
	Manual      bool      `json:"manual"`  // no probe can lift the quarantine
	Reason      string    `json:"reason,omitempty"`
	Since       time.Time `json:"since"`
}

// kept is what the machine knows that is to outlive it.
func (m *machine) persistentState() persistentState {
	k := persistentState{Active: m.active, Target: m.target, Failed: m.failed}
	for _, s := range m.placements {
		if s.GPU != "" {
			k.Placements = append(k.Placements, s.Placement)
		}
	}
	for _, g := range m.sortedGPUs() {
		if g.blocked() {
			k.Quarantines = append(k.Quarantines, Quarantine{g.uuid, g.index, g.quarantined, g.drained, g.manual, g.reason, g.since})
		}
	}
	return k
}

// want says which deployment the configuration asks for now. One that failed is not tried again by itself.
func (k *persistentState) setWanted(d Deployment) {
	same := func(other *Deployment) bool { return other != nil && other.fingerprint() == d.fingerprint() }
	switch {
	case k.Active == nil:
		k.Active, k.Target, k.Failed = &d, nil, ""
	case same(k.Active) && k.Failed == "":
		k.Target = nil
	case same(k.Active), same(k.Target):
	default:
		k.Target, k.Failed = &d, ""
	}
}

// store is the file of what is kept.
type store struct {
	path string
	boot string
	last []byte
}

func newStore(dir string) *store {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Without it, a reboot lifts nothing.
	return &store{path: filepath.Join(dir, "state.json"), boot: string(bytes.TrimSpace(boot))}
}

// load reads what was kept; nothing when there is no file. A reboot has reset every GPU, so that probes can tell again.
func (s *store) load() (persistentState, error) {
	var k persistentState
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("state: %w", err)
	}
	if err := json.Unmarshal(data, &k); err != nil {
		return k, fmt.Errorf("state: %s: %w; remove it to start afresh: running replicas are adopted all the same", s.path, err)
	}
	if s.boot != "" && k.Boot != s.boot {
		for i := range k.Quarantines {
			k.Quarantines[i].Manual = false
		}
	}
	return k, nil
}

// save replaces the file as a whole, and makes sure that it is on the disk.
func (s *store) save(k persistentState) error {
	k.Boot = s.boot
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if bytes.Equal(data, s.last) {
		return nil
	}
	if err := fileutil.Replace(s.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	s.last = data
	return nil
}

// save writes what is to be kept, beside the loop: a disk that hangs or is full must not stop it.
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
	if (err == nil) != (s.saveErr == nil) {
		if err != nil {
			s.log.Error("the state cannot be kept; going on without", "error", err.Error())
		} else {
			s.log.Info("the state is kept again")
		}
	}
	s.saveErr = err
	if err != nil {
		s.machine.dirty = true
		s.saveDue = s.now() + saveRetry
	}
}

// saveLast waits a little for a save under way and makes the last one.
func (s *Supervisor) saveFinal() error {
	if s.saving {
		select {
		case err := <-s.saved:
			s.saveDone(err)
		case <-time.After(saveRetry):
			return errors.New("the state was not kept: the disk does not answer")
		}
	}
	if !s.machine.dirty || !s.machine.adopted {
		return nil
	}
	return s.store.save(s.machine.persistentState())
}
