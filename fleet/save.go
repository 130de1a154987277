package fleet

import (
	"errors"
	"time"
)

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
