package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger logs to w: JSON for machines, coloured text for a person at a terminal. The configuration is valid.
func newLogger(cfg LogConfig, w io.Writer) *slog.Logger {
	file, isFile := w.(*os.File)
	return slog.New(logHandler(cfg, w, isFile && term.IsTerminal(int(file.Fd()))))
}

func logHandler(cfg LogConfig, w io.Writer, terminal bool) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked by Validate
	if cfg.Format == "json" || cfg.Format == "auto" && !terminal {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration})
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal})
}

// readableDuration writes durations as 1.5ms: slog's JSON would be nanoseconds without a unit.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
