package v2

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// Engine serves the models. *inference.Engine is one.
type Engine interface {
	Open(ctx context.Context, model, version string) (*inference.Ref, error)
	Models() []inference.Status
	Has(model string) bool
	Unloaded(model, version string) (task repository.Task, unloaded bool)
	Load(ctx context.Context, model string) error
	Unload(model string) error
}

// Limits bound requests.
type Limits struct {
	Timeout   time.Duration // of one request
	Rows      int           // images or rows of one request
	BodySize  int64         // bytes of one request, decompressed
	ImageSize int64         // bytes of one encoded image
	Control   bool          // models may be loaded and unloaded
}

// Server serves the models of an engine by the protocol. Its methods may be called concurrently.
type Server struct {
	engine  Engine
	limits  Limits
	name    string
	version string
}

// New returns a server, with the name and version that its metadata has.
func New(engine Engine, limits Limits, name, version string) *Server {
	return &Server{engine, limits, name, version}
}

// ServerMetadata describes the server.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ServerMetadata describes the server.
func (s *Server) ServerMetadata() ServerMetadata {
	return ServerMetadata{s.name, s.version, []string{"binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters", "statistics"}}
}

// opened is a version of a model, or of an image view, that a request uses.
type opened struct {
	*inference.Ref
	info *inference.Info
	name string // as requested
	view *view  // of an image view
}

// open finds a version of a model or of a view, which is loaded if it is not in memory. It must be closed.
func (s *Server) open(ctx context.Context, name, version string) (*opened, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Timeout)
	defer cancel()
	if version != "" {
		if n, err := strconv.ParseInt(version, 10, 64); err != nil || n < 1 {
			return nil, apierror.New(apierror.InvalidParameter, "failed to get model version from specified version string '%s'; allowed: a whole number above 0", Shortened(version))
		}
	}
	if name == "" {
		return nil, unknownModel(name, version)
	}
	ref, err := s.engine.Open(ctx, name, version)
	if err == nil {
		return &opened{Ref: ref, info: ref.Info(), name: name}, nil
	}
	base, isView := strings.CutSuffix(name, repository.ViewSuffix)
	if isView && base != "" && apierror.From(err).Code == apierror.ModelNotFound {
		return s.openView(ctx, name, base, version)
	}
	return nil, notFound(err, name, version)
}

func (s *Server) openView(ctx context.Context, name, base, version string) (*opened, error) {
	ref, err := s.engine.Open(ctx, base, version)
	if err != nil {
		return nil, notFound(err, name, version)
	}
	if v := viewOf(ref.Info()); v != nil {
		return &opened{ref, ref.Info(), name, v}, nil
	}
	ref.Close()
	return nil, unknownModel(name, version)
}

// isUnloaded reports whether a version of a model, or of a view, is not in memory, and is loaded when a request uses it.
func (s *Server) isUnloaded(name, version string) bool {
	model, _ := s.Exists(name)
	task, unloaded := s.engine.Unloaded(model, version)
	return unloaded && (model == name || task != repository.NoTask)
}

// notFound has the words that clients of Triton look for.
func notFound(err error, name, version string) error {
	if apierror.From(err).Code == apierror.ModelNotFound {
		return unknownModel(name, version)
	}
	return err
}

func unknownModel(name, version string) error {
	if version != "" {
		return apierror.New(apierror.ModelNotFound, "Request for unknown model: '%s' version %s is not found", Shortened(name), version)
	}
	return apierror.New(apierror.ModelNotFound, "Request for unknown model: '%s' is not found", Shortened(name))
}

// Shortened is a client's text for a message in single quotes.
func Shortened(text string) string { return strings.Trim(apierror.Quote(text), `"`) }

// The space that a request takes besides the elements of its inputs, and that of an element in JSON at most, in bytes. Numbers
// have up to 25 characters.
const (
	headerSize  = 1 << 20
	elementSize = 32
)

// BodyLimit returns how many bytes a request of a model may have: the largest that it can use, within the server's limit. A model that is
// not in memory is not loaded before the request has come.
func (s *Server) BodyLimit(ctx context.Context, name, version string) (int64, error) {
	if s.isUnloaded(name, version) {
		return s.limits.BodySize, nil
	}
	m, err := s.open(ctx, name, version)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	most := s.limits.BodySize
	if m.view != nil {
		return min(most, headerSize+int64(s.batchSize(m))*(s.limits.ImageSize+4)), nil
	}
	total := int64(headerSize)
	for _, info := range m.info.Inputs {
		shape := slices.Clone(info.Shape)
		if rows := s.maxRows(m); rows > 0 && m.info.Batched {
			shape[0] = int64(rows)
		}
		n, ok := elements(shape)
		if !ok || len(shape) == 0 || info.DType == repository.String {
			return most, nil
		}
		total += n * elementSize
	}
	return min(most, total), nil
}

// Exists reports whether a name is that of a model or a view, ready or not, and the model's own name. It is for metrics.
func (s *Server) Exists(name string) (model string, ok bool) {
	if s.engine.Has(name) {
		return name, true
	}
	base, isView := strings.CutSuffix(name, repository.ViewSuffix)
	if isView && s.engine.Has(base) {
		return base, true
	}
	return "", false
}

// ModelReady reports whether a version of a model is ready, or is loaded when it is used. The error is of a model that does not exist.
func (s *Server) ModelReady(ctx context.Context, name, version string) (bool, error) {
	if s.isUnloaded(name, version) {
		return true, nil
	}
	m, err := s.open(ctx, name, version)
	if err != nil {
		if code := apierror.From(err).Code; code == apierror.NotReady || code == apierror.Draining || code == apierror.DeviceLost {
			return false, nil
		}
		return false, err
	}
	m.Close()
	return true, nil
}
