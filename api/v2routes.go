package api

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	v2 "fovea/internal/v2"

	"github.com/gin-gonic/gin"
)

// EnableV2 adds the routes of the Open Inference Protocol. It must be called before Serve.
func (s *Server) EnableV2(core *v2.Server) {
	s.v2 = core
	get := func(path string, show func(*gin.Context, *requestContext)) { s.router.GET(path, s.route(show)) }
	post := func(path string, handle func(*gin.Context, *requestContext)) {
		s.router.POST(path, s.route(handle))
	}
	get("/v2", func(c *gin.Context, _ *requestContext) {
		httpserver.WriteJSON(c.Writer, http.StatusOK, core.ServerMetadata())
	})
	get("/v2/health/live", s.v2Live)
	get("/v2/health/ready", s.v2Ready)
	get("/v2/models/stats", s.v2Statistics)
	for _, model := range []string{"/v2/models/:model", "/v2/models/:model/versions/:version"} {
		get(model, s.v2Metadata)
		get(model+"/ready", s.v2ModelReady)
		get(model+"/config", s.v2Config)
		get(model+"/stats", s.v2Statistics)
		post(model+"/infer", s.v2Infer)
	}
	post("/v2/repository/index", s.v2Index)
	post("/v2/repository/models/:model/load", s.v2Load)
	post("/v2/repository/models/:model/unload", s.v2Unload)
}

// isV2 reports whether a path is one of the protocol's, existing or not.
func isV2(path string) bool { return path == "/v2" || strings.HasPrefix(path, "/v2/") }

// v2Error is the body of an error.
type v2Error struct {
	Error string `json:"error"`
}

// v2Health is the body of the health routes. Triton's clients look at the status alone, KServe's at the body.
type v2Health struct {
	Name  string `json:"name,omitempty"` // of a model
	Live  *bool  `json:"live,omitempty"`
	Ready *bool  `json:"ready,omitempty"`
}

func (s *Server) v2Live(c *gin.Context, rc *requestContext) {
	live := s.health.Report().Live()
	writeHealth(c, rc, live, v2Health{Live: &live})
}

func (s *Server) v2Ready(c *gin.Context, rc *requestContext) {
	ready := s.health.Report().Ready()
	writeHealth(c, rc, ready, v2Health{Ready: &ready})
}

// v2Version is the version in the path, which must be a number; ok is false after an error response.
func (s *Server) v2Version(c *gin.Context, rc *requestContext) (version string, ok bool) {
	version, given := c.Params.Get("version")
	if !given {
		return "", true
	}
	if version == "" || strings.Trim(version, "0123456789") != "" {
		s.noRoute(c, rc)
		return "", false
	}
	return version, true
}

func (s *Server) v2ModelReady(c *gin.Context, rc *requestContext) {
	version, ok := s.v2Version(c, rc)
	if !ok {
		return
	}
	ready, err := s.v2.ModelReady(c.Request.Context(), c.Param("model"), version)
	if err != nil {
		rc.quiet = true
		s.fail(c, rc, err)
		return
	}
	writeHealth(c, rc, ready, v2Health{Name: c.Param("model"), Ready: &ready})
}

// v2Show answers with what describe returns for a version of a model.
func v2Show[T any](s *Server, c *gin.Context, rc *requestContext, describe func(ctx context.Context, model, version string) (T, error)) {
	version, ok := s.v2Version(c, rc)
	if !ok {
		return
	}
	value, err := describe(c.Request.Context(), c.Param("model"), version)
	if err != nil {
		s.fail(c, rc, err)
		return
	}
	httpserver.WriteJSON(c.Writer, http.StatusOK, value)
}

func (s *Server) v2Metadata(c *gin.Context, rc *requestContext) { v2Show(s, c, rc, s.v2.ModelMetadata) }

func (s *Server) v2Config(c *gin.Context, rc *requestContext) { v2Show(s, c, rc, s.v2.ModelConfig) }

// v2StatisticsBody is the body of GET …/stats.
type v2StatisticsBody struct {
	ModelStats []v2.ModelStatistics `json:"model_stats"`
}

func (s *Server) v2Statistics(c *gin.Context, rc *requestContext) {
	v2Show(s, c, rc, func(ctx context.Context, model, version string) (v2StatisticsBody, error) {
		list, err := s.v2.ModelStatistics(ctx, model, version)
		list = slices.DeleteFunc(list, func(m v2.ModelStatistics) bool { return rc.client.MayUse(m.Name) != nil })
		return v2StatisticsBody{list}, err
	})
}

// maxControlBody is the size of the body of a request about the repository, in bytes.
const maxControlBody = 64 << 10

// v2Body reads the body of a request about the repository, a JSON object or nothing, into value.
func (s *Server) v2Body(c *gin.Context, rc *requestContext, value any) error {
	b, err := s.open(c, rc, maxControlBody)
	if err != nil {
		return err
	}
	defer b.close()
	text, err := readAll(b, int(max(b.length, 0)))
	if err != nil {
		return s.bodyError(err, b)
	}
	defer putBuffer(text)
	if len(text) == 0 {
		return nil
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] != '{' {
		return apierror.New(apierror.Malformed, "the body is not a JSON object")
	}
	if err := json.Unmarshal(text, value); err != nil {
		return apierror.New(apierror.Malformed, "the body is not JSON of the right form: %v", err)
	}
	return nil
}

func (s *Server) v2Index(c *gin.Context, rc *requestContext) {
	var body struct {
		Ready bool `json:"ready"`
	}
	if err := s.v2Body(c, rc, &body); err != nil {
		s.fail(c, rc, err)
		return
	}
	list := slices.DeleteFunc(s.v2.Index(body.Ready), func(m v2.IndexEntry) bool { return rc.client.MayUse(m.Name) != nil })
	httpserver.WriteJSON(c.Writer, http.StatusOK, list)
}

// v2Control is the body of a load or unload.
type v2Control struct {
	Parameters map[string]any `json:"parameters"`
}

func (s *Server) v2Load(c *gin.Context, rc *requestContext) {
	s.v2Change(c, rc, func(parameters map[string]any) error {
		if err := v2.CheckLoadParameters(c.Param("model"), maps.Keys(parameters)); err != nil {
			return err
		}
		return s.v2.Load(c.Request.Context(), c.Param("model"))
	})
}

func (s *Server) v2Unload(c *gin.Context, rc *requestContext) {
	s.v2Change(c, rc, func(map[string]any) error { return s.v2.Unload(c.Param("model")) })
}

// v2Change answers a load or unload.
func (s *Server) v2Change(c *gin.Context, rc *requestContext, change func(parameters map[string]any) error) {
	var body v2Control
	err := s.v2Body(c, rc, &body)
	if err == nil {
		err = change(body.Parameters)
	}
	if err != nil {
		s.fail(c, rc, err)
		return
	}
	c.Header("Content-Type", "application/json")
	c.Header("Content-Length", "0")
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
}
