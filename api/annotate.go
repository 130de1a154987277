package api

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"strconv"

	"fovea/inference"
	"fovea/internal/annotate"
	"fovea/internal/apierror"

	"github.com/gin-gonic/gin"
)

// The values of the parameter annotate.
const (
	annotatePNG  = "png"
	annotateJPEG = "jpeg"
)

const (
	maxDrawn    = 4096 // the longer side, in pixels, of the largest image that is drawn on at its own size
	jpegQuality = 90
)

// annotated responds with the image on which its prediction is drawn.
func (s *Server) annotated(c *gin.Context, rc *requestContext, r inference.Request, in *submission, b *body) {
	if n := len(in.images); n != 1 {
		s.reject(c, rc, apierror.New(apierror.InvalidParameter, "annotate: the request has %d images; one is allowed, since the response is the image", n))
		in.discard(b)
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.cfg.Timeout-b.waited)
	defer cancel()
	defer in.decoded(0, b)
	r.Image = in.images[0]
	var result imageResult
	if failed := in.failed[0]; failed != nil {
		result = s.rejectImage(rc, failed)
	} else {
		result = s.predictImage(ctx, rc, r)
	}
	var drawn []byte
	if result.err == nil {
		var err error
		if drawn, err = s.draw(ctx, in, result.response); err != nil {
			result = s.rejectImage(rc, s.engineError(err)) // the engine has counted a prediction
		}
	}
	b.close() // as in predict
	if result.err != nil {
		s.respond(c, rc, []imageResult{{err: result.err}})
		return
	}
	s.metrics.countImages(rc.model, []imageResult{result})
	rc.version = result.response.Version
	header := c.Writer.Header()
	header.Set("Content-Type", "image/"+in.params.annotate)
	header.Set("Content-Length", strconv.Itoa(len(drawn)))
	c.Writer.WriteHeader(http.StatusOK)
	_, _ = c.Writer.Write(drawn) // fails only when the client has disconnected
}

// draw encodes the image with its prediction.
func (s *Server) draw(ctx context.Context, in *submission, response *inference.Response) (data []byte, err error) {
	err = s.engine.Decode(ctx, in.images[0], maxDrawn, func(img *image.RGBA, scale float64) error {
		drawn, err := annotate.Prediction(img, scale, response.Prediction)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if in.params.annotate == annotateJPEG {
			err = jpeg.Encode(&out, drawn, &jpeg.Options{Quality: jpegQuality})
		} else {
			encoder := png.Encoder{CompressionLevel: png.BestSpeed}
			err = encoder.Encode(&out, drawn)
		}
		data = out.Bytes()
		return err
	})
	return data, err
}
