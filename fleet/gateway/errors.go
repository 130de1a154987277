package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"fovea/internal/apierror"
)

// Codes of faults that only the gateway has; the others are package fault's.
const (
	ReplicaLost   apierror.Code = "replica_lost"   // 502: the connection ended before an answer; the request may have been run
	Busy          apierror.Code = "gateway_busy"   // 503: as many requests in flight as allowed
	PoisonRequest apierror.Code = "poison_request" // 422: replicas were lost with this very body

	bodyTimeout apierror.Code = "body_timeout"       // 408: the body did not arrive in time
	displaced   apierror.Code = "body_displaced"     // 429: the body lagged, and another request needed its slot
	badMethod   apierror.Code = "method_not_allowed" // 405: on the gateway's own routes, and CONNECT
	responseCut apierror.Code = "response_cut"       // in the log only: the answer had begun
)

// statusClientGone is what logs and metrics say of a request whose client went away; nobody receives it.
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

// errorAnswer is the body of every error that the gateway itself answers.
type errorAnswer struct {
	Error     string        `json:"error"`
	Code      apierror.Code `json:"code"`
	RequestID string        `json:"request_id"`
}

// refuse answers with a fault.
func refuse(w http.ResponseWriter, x *exchange, f *apierror.Error) {
	x.fault = f
	s := status(f.Code)
	if s == statusClientGone {
		x.status = s
		panic(http.ErrAbortHandler) // closes the connection; net/http would answer 200 otherwise
	}
	if s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
	}
	writeJSON(w, s, errorAnswer{f.Message, f.Code, x.id})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"internal error","code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that went away needs no answer
}
