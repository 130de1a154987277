//go:build engine

package fleet

import (
	"bytes"
	"testing"
)

func TestSecondSupervisorWithAnotherSocketIsRefused(t *testing.T) {
	b, other := newHarness(t, "replicas: 1"), newHarness(t, "replicas: 1")
	b.start(1)
	before := b.containers()
	own := other.name
	other.name = b.name
	other.configure("replicas: 1")
	out, err := other.command().CombinedOutput()
	other.name = own // It cleans up its own fleet.
	if err == nil || !bytes.Contains(out, []byte("another supervisor is running")) {
		t.Errorf("the second one: %v, %s", err, out)
	}
	if s := b.status(); s.Ready != 1 || b.containers()["cpu-0"] != before["cpu-0"] {
		t.Errorf("the first one: %+v", s)
	}
}
