package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	const color = "\x1b["
	for _, test := range []struct {
		format              string
		terminal            bool
		wantJSON, wantColor bool
	}{
		{"json", false, true, false},
		{"json", true, true, false},
		{"text", false, false, false},
		{"text", true, false, true},
		{"auto", false, true, false},
		{"auto", true, false, true},
	} {
		var b bytes.Buffer
		log := slog.New(handler(Config{Level: "warn", Format: test.format}, &b, test.terminal, test.terminal))
		log.Info("left out")
		log.Warn("said", "took", 1500*time.Microsecond)
		var line struct{ Level, Msg, Took string }
		isJSON := json.Unmarshal(b.Bytes(), &line) == nil
		if isJSON && (line.Level != "WARN" || line.Msg != "said" || line.Took != "1.5ms") || !isJSON && !strings.Contains(b.String(), "said") {
			t.Errorf("%+v: %s", test, b.String())
		}
		if isJSON != test.wantJSON || strings.Contains(b.String(), color) != test.wantColor || strings.Contains(b.String(), "left out") {
			t.Errorf("%+v: %q", test, b.String())
		}
	}
}
