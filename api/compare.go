package api

import (
	"net/http"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	"fovea/postprocess"

	"github.com/gin-gonic/gin"
)

// compareResponse is the body of POST /v1/models/{model}/compare.
type compareResponse struct {
	Model   string `json:"model"`
	Version string `json:"version"`
	Device  string `json:"device"`
	// Similarity has the cosine of the vectors of each pair of images: a row and a column for each image, in the order of the request.
	Similarity [][]float64 `json:"similarity"`
	Timing     timing      `json:"timing"`
}

// compare handles POST /v1/models/{model}/compare.
func (s *Server) compare(c *gin.Context, rc *requestContext) {
	r, in, body := s.images(c, rc)
	if body == nil {
		return
	}
	defer body.close() // also after a panic
	if err := checkComparison(in); err != nil {
		in.discard(body)
		s.reject(c, rc, err)
		return
	}
	results := s.predictImages(c.Request.Context(), rc, r, in, body)
	body.close()
	s.metrics.countImages(rc.model, results)
	response, failure := compared(rc, results)
	if failure != nil {
		s.fail(c, rc, failure)
		return
	}
	httpserver.WriteJSON(c.Writer, http.StatusOK, response)
}

// checkComparison reports a request that has too few images, or parameters.
func checkComparison(in *submission) error {
	switch {
	case len(in.params.given) > 0:
		return apierror.New(apierror.InvalidParameter, "parameter %s: a comparison has no parameters", in.params.given[0])
	case len(in.images) < 2:
		return apierror.New(apierror.Malformed, "the request has one image; a comparison takes two or more, as multipart/form-data or application/json")
	}
	return nil
}

// compared compares the vectors of images, or returns the error of the first image without one.
func compared(rc *requestContext, results []imageResult) (*compareResponse, *apierror.Error) {
	response := &compareResponse{Similarity: make([][]float64, len(results))}
	vectors := make([][]float32, len(results))
	for i, result := range results {
		if err := result.err; err != nil {
			return nil, apierror.Wrap(err.Code, err.Cause, "image %d: %s", i, err.Message)
		}
		embedded, ok := result.response.Prediction.(*postprocess.Embedded)
		if !ok {
			return nil, apierror.New(apierror.InvalidParameter, "model %s has no vectors to compare; its task must be embedding", apierror.Quote(rc.model))
		}
		vectors[i] = embedded.Vector
		response.Model, response.Version, response.Device = result.response.Model, result.response.Version, result.response.Device
		response.Timing.merge(result.response.Timing)
	}
	for i := range vectors {
		response.Similarity[i] = make([]float64, len(vectors))
		for j := range i + 1 {
			if len(vectors[i]) != len(vectors[j]) {
				return nil, apierror.New(apierror.Internal, "the vectors of image %d and %d have %d and %d numbers", j, i, len(vectors[j]), len(vectors[i]))
			}
			cosine := postprocess.Cosine(vectors[j], vectors[i])
			response.Similarity[i][j], response.Similarity[j][i] = cosine, cosine
		}
	}
	response.Timing.Total = millis(time.Since(rc.start))
	rc.version = response.Version
	return response, nil
}
