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
	bad := Config{BodyTimeout: -1, AnswerTimeout: 2 * time.Hour, MaxRequests: 0, KillerStrikes: -1}
	err := config.Check(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"body_timeout", "answer_timeout", "dial_timeout", "idle_timeout", "max_requests", "killer_strikes", "killer_memory"} {
		if !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s is not named in:\n%v", key, err)
		}
	}
}
