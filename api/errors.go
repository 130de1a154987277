package api

import (
	"errors"
	"net/http"

	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	"fovea/internal/panics"

	"github.com/gin-gonic/gin"
)

// fail responds with err, which becomes an internal error unless it is an API error.
func (s *Server) fail(c *gin.Context, rc *requestContext, err error) {
	s.failWith(c, rc, apierror.From(err), nil)
}

// deny responds to a request that the guard has refused. Nothing of its body has been read.
func (s *Server) deny(c *gin.Context, rc *requestContext, err error) {
	rc.denied = apierror.From(err).Code != apierror.PermissionDenied
	s.fail(c, rc, err)
}

// failWith responds with an error, and with AllFailed the error of each image. Causes of internal errors are logged here,
// and only here.
func (s *Server) failWith(c *gin.Context, rc *requestContext, err *apierror.Error, predictions any) {
	rc.code = err.Code
	status := err.Code.Status()
	switch err.Code {
	case apierror.BodyTimeout, apierror.BodyDisplaced, apierror.Canceled:
		if c.Request.ProtoMajor == 1 { // on HTTP/2 only this stream ends
			c.Header("Connection", "close")
		}
	default:
		if errors.Is(err, access.ErrFlood) {
			s.guard.HoldBack(c.Request.Context())
			dropBody(c)
		} else {
			discardBody(c, rc)
		}
	}
	if err.Code == apierror.Canceled {
		rc.status = status
		c.Status(status) // a client that has only stopped sending gets it; net/http would send 200
		return
	}
	if err.Cause != nil && status >= http.StatusInternalServerError {
		panics.LogError(s.log.With("request_id", rc.id, "code", string(err.Code)), "request failed", err)
	}
	if rc.v2 {
		httpserver.SetErrorHeaders(c.Writer, err)
		httpserver.WriteJSON(c.Writer, status, v2Error{err.Message})
		return
	}
	httpserver.WriteError(c.Writer, err, rc.id, predictions)
}
