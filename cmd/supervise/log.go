package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"fovea/fleet"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger logs to w: JSON for machines, coloured text for a person at a terminal. The configuration is valid.
func newLogger(cfg fleet.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked by Validate
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if cfg.Format == "json" || cfg.Format == "auto" && !terminal {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal}))
}
