package fleet

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestStateIsSavedAndLoaded(t *testing.T) {
	dir := t.TempDir()
	d := testDeployment("v1")
	d.Generation = 4
	k := persistentState{Active: &d, Failed: "why", Quarantines: []quarantineRecord{{GPU: "GPU-1", Quarantined: true, Manual: true, Reason: "XID 48", Since: time.Unix(1, 0).UTC()}}}
	s := newStore(dir)
	if err := s.save(k); err != nil {
		t.Fatal(err)
	}
	got, err := newStore(dir).load()
	k.Boot = s.boot
	if err != nil || !reflect.DeepEqual(got.Quarantines, k.Quarantines) || got.Active.Spec.Hash() != d.Spec.Hash() || got.Failed != "why" {
		t.Errorf("%+v, %v", got, err)
	}
	rebooted := newStore(dir)
	rebooted.boot = "another"
	if got, err = rebooted.load(); err != nil || got.Quarantines[0].Manual || !got.Quarantines[0].Quarantined {
		t.Errorf("after a reboot: %+v, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestUnreadableStateIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := newStore(dir).load(); err != nil {
		t.Errorf("no saved state: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(dir).load(); err == nil {
		t.Error("half a file was loaded")
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, ErrRunning) {
		t.Errorf("the second: %v", err)
	}
	release()
	release, err = lock(path)
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestWantedDeploymentAfterARestart(t *testing.T) {
	one, two, three := testDeployment("1"), testDeployment("2"), testDeployment("3")
	for name, c := range map[string]struct {
		saved  persistentState
		want   Deployment
		target *Deployment
		failed string
	}{
		"unchanged":                           {persistentState{Active: &one}, one, nil, ""},
		"changed: rollout":                    {persistentState{Active: &one}, two, &two, ""},
		"rollout continues":                   {persistentState{Active: &one, Target: &two}, two, &two, ""},
		"changed back during a rollout":       {persistentState{Active: &one, Target: &two}, one, nil, ""},
		"failed target is not retried":        {persistentState{Active: &one, Target: &two, Failed: "x"}, two, &two, "x"},
		"changed back after a failed rollout": {persistentState{Active: &one, Target: &two, Failed: "x"}, one, &two, "x"},
		"changed after a failed rollout":      {persistentState{Active: &one, Target: &two, Failed: "x"}, three, &three, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := c.saved
			k.setWanted(c.want)
			same := (k.Target == nil) == (c.target == nil) && (k.Target == nil || k.Target.Spec.Hash() == c.target.Spec.Hash())
			if !same || k.Failed != c.failed {
				t.Errorf("target %+v, failed %q", k.Target, k.Failed)
			}
		})
	}
}

func TestFailedSaveIsRetriedLater(t *testing.T) {
	s := &Supervisor{machine: &machine{}, log: slog.New(slog.DiscardHandler), start: time.Now()}
	s.saveDone(errFault)
	if !s.machine.dirty || s.saveDue < saveRetry || s.saveErr == nil {
		t.Errorf("to be saved %v after %s; error %v", s.machine.dirty, s.saveDue, s.saveErr)
	}
}
