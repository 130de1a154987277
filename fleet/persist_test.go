package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestStateOutlivesASupervisor(t *testing.T) {
	dir := t.TempDir()
	d := testDeployment("v1")
	d.Generation = 4
	k := persistentState{Active: &d, Failed: "why", Quarantines: []Quarantine{{GPU: "GPU-1", Quarantined: true, Manual: true, Reason: "XID 48", Since: time.Unix(1, 0).UTC()}}}
	s := newStore(dir)
	if err := s.save(k); err != nil {
		t.Fatal(err)
	}
	got, err := newStore(dir).load()
	k.Boot = s.boot
	if err != nil || !reflect.DeepEqual(got.Quarantines, k.Quarantines) || got.Active.fingerprint() != d.fingerprint() || got.Failed != "why" {
		t.Errorf("%+v, %v", got, err)
	}
	rebooted := newStore(dir)
	rebooted.boot = "another"
	if got, err = rebooted.load(); err != nil || got.Quarantines[0].Manual || !got.Quarantines[0].Quarantined {
		t.Errorf("after a reboot probes can tell again: %+v, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestStateThatIsNotReadableIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if _, err := newStore(dir).load(); err != nil {
		t.Errorf("no state yet: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(dir).load(); err == nil {
		t.Error("half a file was read")
	}
}

func TestLockIsForOne(t *testing.T) {
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

func TestWhatTheConfigurationWantsAfterARestart(t *testing.T) {
	one, two, three := testDeployment("1"), testDeployment("2"), testDeployment("3")
	for name, c := range map[string]struct {
		saved  persistentState
		want   Deployment
		target *Deployment
		failed string
	}{
		"the same as before":              {persistentState{Active: &one}, one, nil, ""},
		"another: a roll-out":             {persistentState{Active: &one}, two, &two, ""},
		"a roll-out goes on":              {persistentState{Active: &one, Target: &two}, two, &two, ""},
		"the old one again in a roll-out": {persistentState{Active: &one, Target: &two}, one, nil, ""},
		"what failed is not tried again":  {persistentState{Active: &one, Target: &two, Failed: "x"}, two, &two, "x"},
		"another after one that failed":   {persistentState{Active: &one, Target: &two, Failed: "x"}, three, &three, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := c.saved
			k.setWanted(c.want)
			same := (k.Target == nil) == (c.target == nil) && (k.Target == nil || k.Target.fingerprint() == c.target.fingerprint())
			if !same || k.Failed != c.failed {
				t.Errorf("target %+v, failed %q", k.Target, k.Failed)
			}
		})
	}
}
