package fleet

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestSocketMode(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	s.until("ready", allReady)
	info, err := os.Stat(s.cfg.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestOneSupervisorPerNameAndEngine(t *testing.T) {
	first, second := newTestFleet(t), newTestFleet(t)
	first.start()
	own := second.engine
	for name, c := range map[string]struct {
		engine *fakeEngine
		fleet  string
		want   error
	}{
		"another socket and state, same name and engine": {first.engine, "site", ErrRunning},
		"another name":   {first.engine, "other", nil},
		"another engine": {own, "site", nil},
	} {
		second.engine, second.cfg.Name = c.engine, c.fleet
		supervisor, err := second.open(context.Background())
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			supervisor.release()
		}
	}
	first.end()
	second.engine, second.cfg.Name = first.engine, "site"
	second.start()
	second.until("the second supervisor has taken over", allReady)
}

func TestSocketReplacesOnlySockets(t *testing.T) {
	s := newTestFleet(t)
	if err := os.WriteFile(s.cfg.Socket, []byte("a user's file"), 0o600); err != nil {
		t.Fatal(err)
	}
	supervisor, err := s.open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(s.cfg.Socket); err != nil || string(text) != "a user's file" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
