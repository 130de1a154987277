package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	"fovea/internal/panics"

	"github.com/gin-gonic/gin"
)

// predict handles POST /predict, /v1/models/{model}/predict and …/versions/{version}/predict.
func (s *Server) predict(c *gin.Context, rc *requestContext) {
	r, in, body := s.images(c, rc)
	if body == nil {
		return
	}
	defer body.close() // also after a panic
	if in.params.annotate != "" {
		s.annotated(c, rc, r, in, body)
		return
	}
	results := s.predictImages(c.Request.Context(), rc, r, in, body)
	body.close() // before the response: a client that reads it slowly should not count as a request in flight
	s.respond(c, rc, results)
}

// images reads the images of a request for predictions and returns what they have in common. If the request is refused, it has responded, and
// there is no body.
func (s *Server) images(c *gin.Context, rc *requestContext) (r inference.Request, in *submission, b *body) {
	rc.predict = true
	model, named := c.Params.Get("model")
	if !named {
		model = s.engine.Default()
	}
	switch {
	case model == "" && !named:
		s.reject(c, rc, s.noDefault(rc))
		return r, nil, nil
	case named && !s.catalog.has(model):
		s.reject(c, rc, s.modelNotFound(rc, model))
		return r, nil, nil
	}
	rc.model = model
	if err := rc.client.MayUse(model); err != nil { // also the default model, which no path names
		s.reject(c, rc, err)
		return r, nil, nil
	}
	in, b, err := s.receive(c, rc)
	if err != nil {
		s.reject(c, rc, err)
		return r, nil, nil
	}
	r = inference.Request{Model: model, Version: c.Param("version"), Client: rc.client.ID, ClientShare: s.cfg.ClientShare, Params: in.params.values,
		Tiles: in.params.tiles, Waited: b.waited}
	return r, in, b
}

// reject responds with an error to a request that the engine has not got. The engine counts those that it has.
func (s *Server) reject(c *gin.Context, rc *requestContext, err error) {
	s.metrics.Rejected(rc.model, string(apierror.From(err).Code))
	s.fail(c, rc, err)
}

// noDefault is NotReady unless there are models to choose from.
func (s *Server) noDefault(rc *requestContext) error {
	if names := s.catalog.list(); len(names) > 1 {
		return inference.ModelRequired(rc.client.Usable(names))
	}
	return apierror.New(apierror.NotReady, "no model is loaded yet")
}

// modelNotFound is NotReady until the first load of models has ended.
func (s *Server) modelNotFound(rc *requestContext, name string) error {
	if s.health.Report().Status == health.Starting {
		return apierror.New(apierror.NotReady, "model %s is not ready", apierror.Quote(name))
	}
	return inference.ModelNotFound(name, rc.client.Usable(s.catalog.list()))
}

// imageResult is the engine's response for one image, or its error.
type imageResult struct {
	response *inference.Response
	err      *apierror.Error
}

// predictImages gives all images to the engine concurrently and waits for all results, within what is left of the
// configured time.
func (s *Server) predictImages(ctx context.Context, rc *requestContext, r inference.Request, in *submission, b *body) []imageResult {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout-b.waited)
	defer cancel()
	results := make([]imageResult, len(in.images))
	predict := func(i int) {
		if err := in.failed[i]; err != nil {
			results[i] = s.rejectImage(rc, err)
			return
		}
		r := r
		r.Image, r.Decoded = in.images[i], func() { in.decoded(i, b) }
		defer r.Decoded() // if it was not decoded: the engine keeps no reference after it has returned
		results[i] = s.predictImage(ctx, rc, r)
	}
	var others sync.WaitGroup
	for i := 1; i < len(in.images); i++ {
		others.Go(func() { predict(i) })
	}
	predict(0)
	others.Wait()
	return results
}

// predictImage returns panics as errors, which would otherwise end the process on the goroutine of an image.
func (s *Server) predictImage(ctx context.Context, rc *requestContext, r inference.Request) (result imageResult) {
	if len(r.Image) == 0 {
		return s.rejectImage(rc, apierror.New(apierror.Malformed, "the image is empty; %s", allowedMedia))
	}
	panicked := panics.Catch(func() error {
		response, err := s.engine.Predict(ctx, r)
		if result.response = response; err != nil {
			result = imageResult{err: s.engineError(err)}
		}
		return nil
	})
	if panicked != nil {
		panics.LogError(s.log.With("request_id", rc.id), "panic", panicked)
		return s.rejectImage(rc, apierror.New(apierror.Internal, "internal error"))
	}
	return result
}

// rejectImage counts an image that the engine has not got, or for which it has not returned.
func (s *Server) rejectImage(rc *requestContext, err *apierror.Error) imageResult {
	s.metrics.Rejected(rc.model, string(err.Code))
	return imageResult{err: err}
}

func (s *Server) engineError(err error) *apierror.Error {
	apiErr := apierror.From(err)
	if apiErr.Code == apierror.DeadlineExceeded {
		// The cause says no more; the message may name the step of a pipeline.
		return apierror.New(apiErr.Code, "%s", strings.Replace(apiErr.Message, apierror.TimeLimit, s.cfg.Timeout.String(), 1))
	}
	return apiErr
}

// requestError is the error of the whole request: nil if at least one image has a prediction, and the error of the image if
// there is only one. Of several errors, the first that is not about its image is returned, since the request may then be
// sent again.
func requestError(results []imageResult) *apierror.Error {
	if slices.ContainsFunc(results, func(r imageResult) bool { return r.err == nil }) {
		return nil
	}
	for _, result := range results {
		if len(results) == 1 || !result.err.Code.AboutImage() {
			return result.err
		}
	}
	return apierror.New(apierror.AllFailed, "none of the %d images has a prediction; each has its error", len(results))
}

// respond writes the results of the engine.
func (s *Server) respond(c *gin.Context, rc *requestContext, results []imageResult) {
	s.metrics.countImages(rc.model, results)
	err := requestError(results)
	switch {
	case err == nil:
		httpserver.WriteJSON(c.Writer, http.StatusOK, newResponse(rc, results))
	case err.Code == apierror.AllFailed:
		s.failWith(c, rc, err, entries(results))
	default:
		s.fail(c, rc, err)
	}
}
