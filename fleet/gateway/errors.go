package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"fovea/internal/apierror"
)

// Error codes that only the gateway uses.
const (
	ReplicaLost   apierror.Code = "replica_lost"   // 502: the connection ended before a response; the request may have run
	Busy          apierror.Code = "gateway_busy"   // 503: as many requests in flight as allowed
	PoisonRequest apierror.Code = "poison_request" // 422: replicas were lost with this body

	bodyTimeout apierror.Code = "body_timeout"       // 408: the body did not arrive in time
	displaced   apierror.Code = "body_displaced"     // 429: the body lagged, and another request needed its slot
	badMethod   apierror.Code = "method_not_allowed" // 405: on the gateway's own routes, and CONNECT
	responseCut apierror.Code = "response_cut"       // in the log only: the response had begun
)

// statusClientGone is the status in logs and metrics of a request whose client disconnected. It is never sent.
const statusClientGone = 499

var statuses = map[apierror.Code]int{
	apierror.Malformed:        http.StatusBadRequest,
	badMethod:                 http.StatusMethodNotAllowed,
	bodyTimeout:               http.StatusRequestTimeout,
	displaced:                 http.StatusTooManyRequests,
	PoisonRequest:             http.StatusUnprocessableEntity,
	apierror.Canceled:         statusClientGone,
	ReplicaLost:               http.StatusBadGateway,
	responseCut:               http.StatusBadGateway,
	apierror.NotReady:         http.StatusServiceUnavailable,
	Busy:                      http.StatusServiceUnavailable,
	apierror.DeadlineExceeded: http.StatusGatewayTimeout,
}

func status(code apierror.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// errorResponse is the body of every error of the gateway.
type errorResponse struct {
	Error     string        `json:"error"`
	Code      apierror.Code `json:"code"`
	RequestID string        `json:"request_id"`
}

// refuse responds with an error.
func refuse(w http.ResponseWriter, rc *requestContext, e *apierror.Error) {
	rc.err = e
	s := status(e.Code)
	if s == statusClientGone {
		rc.status = s
		panic(http.ErrAbortHandler) // closes the connection; net/http would respond with 200 otherwise
	}
	if s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds())))))
	}
	writeJSON(w, s, errorResponse{e.Message, e.Code, rc.id})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"internal error","code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // fails only if the client is gone
}
