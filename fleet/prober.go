package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxResponse bounds what is read of a replica's response, in bytes.
const maxResponse = 64 << 10

// prober sends probes and canaries to replicas.
type prober struct {
	client        *http.Client
	img           []byte
	canaryTimeout time.Duration // of a canary
}

func newProber(timeout time.Duration) *prober {
	// Each probe opens a new connection, as a new client would.
	transport := &http.Transport{DisableKeepAlives: true}
	return &prober{client: &http.Client{Transport: transport}, img: canaryImage(), canaryTimeout: 10 * timeout}
}

// canaryImage returns a small JPEG that any model accepts.
func canaryImage() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		m.SetRGBA(i%64, i/64, color.RGBA{uint8(i % 64 * 4), uint8(i / 64 * 4), 128, 255})
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, m, nil) // A buffer takes everything.
	return b.Bytes()
}

// probe requests /health and /ready concurrently.
func (p *prober) probe(ctx context.Context, a probe, timeout time.Duration) probed {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answered := make(chan probeResponse, 1)
	go func() { answered <- p.get(ctx, a.url+"/health") }()
	ready := p.get(ctx, a.url+"/ready")
	health := <-answered
	o := probed{instanceID: a.instanceID, health: health.verdict, ready: ready.verdict, reason: ready.reason, lost: ready.lost}
	if health.verdict != good {
		o.reason = health.reason
	}
	return o
}

// probeResponse is the result of /health or /ready.
type probeResponse struct {
	verdict verdict
	reason  string // empty if good
	lost    bool   // the process cannot access its GPU
}

func (p *prober) get(ctx context.Context, url string) probeResponse {
	status, body, err := p.send(ctx, http.MethodGet, url, nil)
	if err != nil {
		return probeResponse{inconclusive, err.Error(), false}
	}
	var report struct {
		Reasons []string `json:"reasons"`
		GPULost bool     `json:"gpu_lost"`
	}
	unreadable := json.Unmarshal(body, &report)
	switch {
	case status == http.StatusOK:
		return probeResponse{good, "", report.GPULost}
	case unreadable == nil && len(report.Reasons) > 0:
		return probeResponse{bad, strings.Join(report.Reasons, "; "), report.GPULost}
	}
	return probeResponse{bad, fmt.Sprintf("%s returned %d", url, status), report.GPULost}
}

// predict sends a canary. A 5xx that blames the server is bad; a timeout, a lost connection, 503 and 504 may be caused
// by load and are late. A busy server, or one without a default model, is neither.
func (p *prober) predict(ctx context.Context, a predict) predicted {
	ctx, cancel := context.WithTimeout(ctx, p.canaryTimeout)
	defer cancel()
	status, body, err := p.send(ctx, http.MethodPost, a.url+"/predict", p.img)
	o := predicted{instanceID: a.instanceID}
	switch {
	case err != nil:
		o.verdict, o.reason = late, err.Error()
	case status == http.StatusOK:
		o.verdict = good
	case status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		o.verdict, o.reason = late, fmt.Sprintf("%d: %s", status, strings.TrimSpace(string(body)))
	case status >= http.StatusInternalServerError:
		o.verdict, o.reason = bad, fmt.Sprintf("%d: %s", status, strings.TrimSpace(string(body)))
	}
	return o
}

func (p *prober) send(ctx context.Context, method, url string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "image/jpeg")
	}
	request.Header.Set("User-Agent", "fovea-supervise")
	response, err := p.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	return response.StatusCode, content, err
}
