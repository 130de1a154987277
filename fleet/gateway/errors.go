package gateway

import (
	"net/http"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"
)

// refuse answers with a fault.
func refuse(w http.ResponseWriter, x *exchange, f *apierror.Error) {
	x.fault = f
	if f.Code == apierror.Canceled {
		x.status = f.Code.Status()
		panic(http.ErrAbortHandler) // closes the connection; net/http would answer 200 otherwise
	}
	httpserver.WriteError(w, f, x.id, nil)
}
