package fleet

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestSocketIsForItsGroup(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	s.until("ready", allReady)
	info, err := os.Stat(s.cfg.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestOneNameOnOneEngineHasOneSupervisor(t *testing.T) {
	first, second := newTestFleet(t), newTestFleet(t)
	first.start()
	own := second.engine
	for name, c := range map[string]struct {
		engine *fakeEngine
		fleet  string
		want   error
	}{
		"another socket and state, the same name and engine": {first.engine, "site", ErrRunning},
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
	second.until("the second follows the first", allReady)
}

func TestSocketReplacesNothingButASocket(t *testing.T) {
	s := newTestFleet(t)
	if err := os.WriteFile(s.cfg.Socket, []byte("a file of someone's"), 0o600); err != nil {
		t.Fatal(err)
	}
	supervisor, err := s.open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(s.cfg.Socket); err != nil || string(text) != "a file of someone's" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
