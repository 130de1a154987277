package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"fovea/api"
	"fovea/inference"
	"fovea/internal/repository"
)

// readyLines is how many lines the log has about a server that is ready, if it is text.
const readyLines = 8

// readiness is what the log says once the server is ready: how to try it, and what it serves.
type readiness struct {
	url        string // of the server
	playground string // of the page; "": it is not served
	try        string // a command
	models     []readyModel
}

// readyModel is a version that is served, and where it comes from.
type readyModel struct {
	Model   string          `json:"model"`
	Version string          `json:"version"`
	Task    repository.Task `json:"task"`
	Device  string          `json:"device"`
	From    string          `json:"from"`             // its folder or file
	Source  string          `json:"source,omitempty"` // what that was fetched from
}

// newReadiness describes a server that this machine can reach at an address.
func newReadiness(cfg api.Config, address, byDefault string, models []inference.Status) readiness {
	r := readiness{url: schemeOf(cfg) + address, try: curl(cfg, address, pathOf(byDefault, models))}
	if cfg.ServesPlayground() {
		r.playground = r.url + "/"
	}
	for _, m := range models {
		if m.State == inference.Ready {
			r.models = append(r.models, readyModel{m.Name, m.Version, m.Task, m.Device, m.Dir, m.Source})
		}
	}
	return r
}

func schemeOf(cfg api.Config) string {
	if cfg.TLS.Enabled() {
		return "https://"
	}
	return "http://"
}

// attributes are the fields of a line of JSON.
func (r readiness) attributes() []any {
	list := []any{slog.String("url", r.url)}
	if r.playground != "" {
		list = append(list, slog.String("playground", r.playground))
	}
	return append(list, slog.String("try", r.try), slog.Any("models", r.models))
}

// text is the same for people: at most readyLines lines, of which the first is the log's own.
func (r readiness) text() string {
	var lines []string
	if r.playground != "" {
		lines = append(lines, "  playground  "+r.playground)
	}
	lines = append(lines, "  try         "+r.try)
	room := readyLines - 1 - len(lines)
	for i, m := range r.models {
		name := "  models      "
		if i > 0 {
			name = "              "
		}
		if i == room-1 && len(r.models) > room {
			lines = append(lines, fmt.Sprintf("%sand %d more: GET /v1/models lists them", name, len(r.models)-i))
			break
		}
		lines = append(lines, name+m.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// String is such as "cats 2 (classification, cpu) from models/cats".
func (m readyModel) String() string {
	text := fmt.Sprintf("%s %s (%s, %s) from %s", m.Model, m.Version, strings.ReplaceAll(string(m.Task), "_", " "), m.Device, m.From)
	if m.Source != "" {
		text += ", fetched from " + m.Source
	}
	return text
}

// logReady logs that the server is ready.
func (s *service) logReady(r readiness) {
	if !s.lines.Text {
		s.log.Info("server ready", r.attributes()...)
		return
	}
	s.log.Info("server ready at " + r.url)
	if s.log.Enabled(context.Background(), slog.LevelInfo) {
		_, _ = s.lines.Write([]byte(r.text())) // it never fails
	}
}

// pathOf is the one for predictions with the default model, or with the first that is ready and takes images; "" if none does.
func pathOf(byDefault string, models []inference.Status) string {
	for _, m := range models {
		if m.State != inference.Ready || m.Task == repository.NoTask || byDefault != "" && m.Name != byDefault {
			continue
		}
		if byDefault != "" {
			return "/predict"
		}
		return "/v1/models/" + m.Name + "/predict"
	}
	return ""
}

// curl is a command that asks for a prediction; without a path, for the server's metadata.
func curl(cfg api.Config, address, path string) string {
	options := ""
	if cfg.Access.Keys != "" {
		options = "-H 'X-API-Key: KEY' "
	}
	if path == "" {
		return "curl " + options + schemeOf(cfg) + address + "/v2"
	}
	return "curl --data-binary @IMAGE.jpg -H 'Content-Type: image/jpeg' " + options + schemeOf(cfg) + address + path
}
