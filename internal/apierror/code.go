package apierror

import "net/http"

// Code names a kind of error. It is part of the HTTP contract: the "code" of an error response.
type Code string

// The codes of the server.
const (
	Malformed         Code = "malformed"          // the request is not what its content type says
	InvalidParameter  Code = "invalid_parameter"  // a parameter is unknown or out of range
	ModelRequired     Code = "model_required"     // the request names no model, and there are several and no default
	Unauthenticated   Code = "unauthenticated"    // the API key is missing or wrong
	PermissionDenied  Code = "permission_denied"  // the API key or the configuration does not allow this
	ModelNotFound     Code = "model_not_found"    // no such model or version
	NotFound          Code = "not_found"          // no such route
	MethodNotAllowed  Code = "method_not_allowed" // Allow lists the methods of the route
	BodyTimeout       Code = "body_timeout"       // the body did not arrive in time
	BodyTooLarge      Code = "body_too_large"     // more bytes than allowed
	ImageTooLarge     Code = "image_too_large"    // more pixels, or more work to decode them, than allowed
	UnsupportedMedia  Code = "unsupported_media"  // a content type or encoding that is not supported
	UnsupportedFormat Code = "unsupported_format" // not an image in a supported format
	URLRefused        Code = "url_refused"        // the address of an image is not allowed
	URLFailed         Code = "url_failed"         // an image cannot be fetched from its address
	Undecodable       Code = "undecodable"        // an image that is corrupt or truncated
	AllFailed         Code = "all_failed"         // no image of a request has a prediction
	RateLimited       Code = "rate_limited"       // the rate or number of requests of the API key or client address is reached
	QueueFull         Code = "queue_full"         // the limit of requests, body bytes or a model's images is reached
	BodyDisplaced     Code = "body_displaced"     // the body was slow to arrive and was displaced by another request
	Canceled          Code = "canceled"           // the client disconnected; in logs and metrics only
	Internal          Code = "internal"           // an error of the server
	NotReady          Code = "not_ready"          // the model is not loaded or failed its self-test
	Draining          Code = "draining"           // the server is shutting down
	DeviceLost        Code = "device_lost"        // the device has failed; the server must be restarted
	DeadlineExceeded  Code = "deadline_exceeded"  // no response within the time limit
)

// The codes that only the gateway has.
const (
	PoisonRequest Code = "poison_request" // replicas were lost with this body
	ReplicaLost   Code = "replica_lost"   // the connection ended before a response; the request may have been run
	ResponseCut   Code = "response_cut"   // the same after the response had begun; in logs and metrics only
	GatewayBusy   Code = "gateway_busy"   // as many requests in flight as allowed
)

// StatusClientClosedRequest is the status in logs and metrics of a request whose client disconnected; no client gets it.
const StatusClientClosedRequest = 499

// Retry reports whether a client may send the same request again.
type Retry int

// The kinds of Retry.
const (
	RetryNever Retry = iota // it would fail again
	RetryNow                // it may succeed, at any time
	RetryLater              // it may succeed after the time in Retry-After, which the response has
)

// properties are what a code means for HTTP.
type properties struct {
	status int
	retry  Retry
	image  bool // the error is about one image, and not about the others of its request
}

var codes = map[Code]properties{
	Malformed:         {status: http.StatusBadRequest, image: true},
	InvalidParameter:  {status: http.StatusBadRequest},
	ModelRequired:     {status: http.StatusBadRequest},
	Unauthenticated:   {status: http.StatusUnauthorized},
	PermissionDenied:  {status: http.StatusForbidden},
	ModelNotFound:     {status: http.StatusNotFound},
	NotFound:          {status: http.StatusNotFound},
	MethodNotAllowed:  {status: http.StatusMethodNotAllowed},
	BodyTimeout:       {status: http.StatusRequestTimeout, retry: RetryNow},
	BodyTooLarge:      {status: http.StatusRequestEntityTooLarge, image: true},
	ImageTooLarge:     {status: http.StatusRequestEntityTooLarge, image: true},
	UnsupportedMedia:  {status: http.StatusUnsupportedMediaType},
	UnsupportedFormat: {status: http.StatusUnsupportedMediaType, image: true},
	URLRefused:        {status: http.StatusBadRequest, image: true},
	URLFailed:         {status: http.StatusUnprocessableEntity, image: true},
	Undecodable:       {status: http.StatusUnprocessableEntity, image: true},
	AllFailed:         {status: http.StatusUnprocessableEntity},
	PoisonRequest:     {status: http.StatusUnprocessableEntity},
	RateLimited:       {status: http.StatusTooManyRequests, retry: RetryLater},
	QueueFull:         {status: http.StatusTooManyRequests, retry: RetryLater},
	BodyDisplaced:     {status: http.StatusTooManyRequests, retry: RetryLater},
	Canceled:          {status: StatusClientClosedRequest, retry: RetryNow},
	Internal:          {status: http.StatusInternalServerError, retry: RetryNow},
	ReplicaLost:       {status: http.StatusBadGateway, retry: RetryNow},
	ResponseCut:       {status: http.StatusBadGateway, retry: RetryNow},
	NotReady:          {status: http.StatusServiceUnavailable, retry: RetryLater},
	Draining:          {status: http.StatusServiceUnavailable, retry: RetryLater},
	DeviceLost:        {status: http.StatusServiceUnavailable, retry: RetryLater},
	GatewayBusy:       {status: http.StatusServiceUnavailable, retry: RetryLater},
	DeadlineExceeded:  {status: http.StatusGatewayTimeout, retry: RetryNow},
}

// properties of a code; one that is not in the table is an error of the server.
func (c Code) properties() properties {
	if p, ok := codes[c]; ok {
		return p
	}
	return codes[Internal]
}

// Status returns the HTTP status.
func (c Code) Status() int { return c.properties().status }

// Retry reports whether a client may send the same request again.
func (c Code) Retry() Retry { return c.properties().retry }

// AboutImage reports whether the error is about one image, so that the others of its request can still be predicted.
func (c Code) AboutImage() bool { return c.properties().image }
