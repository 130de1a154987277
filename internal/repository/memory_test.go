package repository

import (
	"strings"
	"testing"
)

func TestMemoryErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{keep: true, ttl: 1m}": "memory.ttl: does not apply with memory.keep",
		"{ttl: 1ms}":            "memory.ttl: 1ms is out of range (1s–720h)",
		"{ttl: -1s}":            "memory.ttl: -1s is out of range (1s–720h)",
		"{keep: maybe}":         "memory.keep",
		"{forget: 1}":           "memory.forget: unknown key",
	} {
		if _, err := parseFile([]byte(good+"memory: "+text), "model.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
