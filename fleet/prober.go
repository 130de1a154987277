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

// maxAnswer bounds what is read of a replica's answer.
const maxAnswer = 64 << 10

// prober asks replicas how they are.
type prober struct {
	client *http.Client
	img    []byte
	most   time.Duration // for a prediction
}

func newProber(timeout time.Duration) (*prober, error) {
	img, err := sampleImage()
	if err != nil {
		return nil, fmt.Errorf("make the image for predictions: %w", err)
	}
	// Each probe makes its own connection, as a new client would have to.
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, ResponseHeaderTimeout: 0}
	return &prober{client: &http.Client{Transport: transport}, img: img, most: 10 * timeout}, nil
}

// sampleImage is a small JPEG that any model can be shown.
func sampleImage() ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		m.SetRGBA(i%64, i/64, color.RGBA{uint8(i % 64 * 4), uint8(i / 64 * 4), 128, 255})
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, nil)
	return b.Bytes(), err
}

// probe asks for /health and /ready at the same time.
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

// said is an answer of /health or /ready.
type probeResponse struct {
	verdict verdict
	reason  string // unless it is good
	lost    bool   // the process does not reach its GPU any more
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
	return probeResponse{bad, fmt.Sprintf("%s answers %d", url, status), report.GPULost}
}

// predict has an image answered. An answer that blames the server itself is bad; none in time, one that says so and one
// that never ends may be the load's fault. A server that is busy, or has no default model, is well.
func (p *prober) predict(ctx context.Context, a predict) predicted {
	ctx, cancel := context.WithTimeout(ctx, p.most)
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
	respond, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, respond, err
}
