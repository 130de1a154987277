package gateway

import (
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
)

func TestConfigErrorsAreReportedTogether(t *testing.T) {
	if err := config.Check(Defaults()); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	bad := Config{BodyTimeout: -1, ResponseTimeout: 2 * time.Hour, MaxRequests: 0, PoisonThreshold: -1}
	err := config.Check(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"body_timeout", "response_timeout", "dial_timeout", "idle_timeout", "max_requests", "poison_threshold", "poison_memory"} {
		if !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s is not named in:\n%v", key, err)
		}
	}
}
