package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"

	"github.com/gin-gonic/gin"
)

// predictNamed answers POST /v1/models/{model}/predict and …/versions/{version}/predict.
func (s *Server) predictNamed(c *gin.Context, x *exchange) {
	x.predict = true
	model := c.Param("model")
	if !s.catalog.has(model) {
		s.refuse(c, x, s.noSuchModel(model))
		return
	}
	s.predict(c, x, model, c.Param("version"))
}

// predictDefault answers POST /predict.
func (s *Server) predictDefault(c *gin.Context, x *exchange) {
	x.predict = true
	model := s.engine.Default()
	if model == "" {
		s.refuse(c, x, apierror.New(apierror.NotReady, "no model is loaded"))
		return
	}
	s.predict(c, x, model, "")
}

// predict answers for a model that there is.
func (s *Server) predict(c *gin.Context, x *exchange, model, version string) {
	x.model = model
	in, body, err := s.receive(c, x)
	if err != nil {
		s.refuse(c, x, err)
		return
	}
	defer body.close() // also when something panics
	r := inference.Request{Model: model, Version: version, Params: in.params.values, Waited: body.waited}
	answers := s.ask(c.Request.Context(), x, r, in, body)
	body.close() // a client that is slow to read its answer holds no slot
	s.reply(c, x, answers)
}

// refuse answers a request that never came to the engine, which counts those that did.
func (s *Server) refuse(c *gin.Context, x *exchange, err error) {
	s.metrics.Rejected(x.model, string(apiErrorOf(err).Code))
	s.fail(c, x, err)
}

// noSuchModel says why a model is not there: before the first load is over, that is not the client's mistake.
func (s *Server) noSuchModel(name string) error {
	if s.health.Report().Status == health.Starting {
		return apierror.New(apierror.NotReady, "models are being loaded; try again soon")
	}
	return apierror.New(apierror.ModelNotFound, "there is no model %s; GET /v1/models lists those there are", quote(name))
}

// answered is what became of one image.
type answered struct {
	response *inference.Response
	apiErr   *apierror.Error
}

// ask sends all images to the engine at once and waits for all, as long as is left of the configured time.
func (s *Server) ask(ctx context.Context, x *exchange, r inference.Request, in *submission, b *body) []answered {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout-b.waited)
	defer cancel()
	answers := make([]answered, len(in.images))
	one := func(i int) {
		r := r
		r.Image, r.Decoded = in.images[i], func() { in.decoded(i, b) }
		defer r.Decoded() // where it was not: the engine keeps no image after it has answered
		answers[i] = s.askOne(ctx, x, r)
	}
	var others sync.WaitGroup
	for i := 1; i < len(in.images); i++ {
		others.Go(func() { one(i) })
	}
	one(0)
	others.Wait()
	return answers
}

// askOne never panics: on a goroutine of its own, that would end the process.
func (s *Server) askOne(ctx context.Context, x *exchange, r inference.Request) (a answered) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "request_id", x.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a = s.unasked(x, apierror.New(apierror.Internal, "internal error"))
		}
	}()
	if len(r.Image) == 0 {
		return s.unasked(x, apierror.New(apierror.Malformed, "the image is empty; %s", allowedMedia))
	}
	response, err := s.engine.Predict(ctx, r)
	if err != nil {
		return answered{apiErr: s.engineFault(err)}
	}
	return answered{response: response}
}

// unasked counts an image about which the engine was not asked, or never said anything.
func (s *Server) unasked(x *exchange, f *apierror.Error) answered {
	s.metrics.Rejected(x.model, string(f.Code))
	return answered{apiErr: f}
}

func (s *Server) engineFault(err error) *apierror.Error {
	f := apiErrorOf(err)
	if f.Code == apierror.DeadlineExceeded {
		return apierror.New(f.Code, "no answer within %s", s.cfg.Timeout) // the cause is no more than that
	}
	return f
}

// overall is the fault of the whole request: nil when at least one image is answered. A request of one image
// has that image's fault. When all of several failed and one of them not by its image, the request may be
// sent again, so that is what it says.
func overall(answers []answered) *apierror.Error {
	for _, a := range answers {
		if a.apiErr == nil {
			return nil
		}
	}
	for _, a := range answers {
		if len(answers) == 1 || !a.apiErr.Code.AboutImage() {
			return a.apiErr
		}
	}
	return apierror.New(apierror.AllFailed, "none of the %d images could be answered; each says why", len(answers))
}

// reply writes the answer of a request whose images were all asked about.
func (s *Server) reply(c *gin.Context, x *exchange, answers []answered) {
	s.metrics.countImages(x.model, answers)
	f := overall(answers)
	switch {
	case f == nil:
		httpserver.WriteJSON(c.Writer, http.StatusOK, answerOf(x, answers))
	case f.Code == apierror.AllFailed:
		s.failWith(c, x, f, entries(answers))
	default:
		s.fail(c, x, f)
	}
}
