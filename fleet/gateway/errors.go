package gateway

import (
	"net/http"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"
)

// refuse responds with an error.
func refuse(w http.ResponseWriter, rc *requestContext, e *apierror.Error) {
	rc.err = e
	if e.Code == apierror.Canceled {
		rc.status = e.Code.Status()
		panic(http.ErrAbortHandler) // closes the connection; net/http would respond with 200 otherwise
	}
	httpserver.WriteError(w, e, rc.id, nil)
}
