package api

import (
	"context"
	"errors"
	"io"
	"sync"

	"fovea/internal/apierror"
)

// urlField is the name of an image's address in JSON and forms.
const urlField = "url"

// maxFetches bounds the images of a request that are fetched at once.
const maxFetches = 8

// addURL adds an image that is fetched once the body has arrived.
func (s *Server) addURL(address string, in *submission) error {
	if err := s.checkImageCount(in); err != nil {
		return err
	}
	if in.urls == nil {
		in.urls = map[int]string{}
	}
	in.urls[len(in.images)] = address
	in.images = append(in.images, nil)
	return nil
}

// fetchImages fetches the images that came as addresses. One that cannot be fetched is that image's error; err is about the
// request.
func (s *Server) fetchImages(b *body, in *submission) error {
	ctx, cancel := context.WithTimeout(b.ctx, s.fetcher.Timeout())
	defer cancel()
	var (
		mu      sync.Mutex
		group   sync.WaitGroup
		places  = make(chan struct{}, maxFetches)
		overall error
	)
	in.failed = map[int]*apierror.Error{}
	for i, address := range in.urls {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			img, err := s.fetchImage(ctx, address, b)
			mu.Lock()
			defer mu.Unlock()
			in.images[i] = img
			failed, ok := errors.AsType[*apierror.Error](err)
			switch {
			case err == nil:
			case ok && failed.Code.AboutImage():
				in.failed[i] = failed
			case overall == nil:
				overall = err // the request's bytes are more than allowed, or the client has disconnected
				cancel()
			}
		})
	}
	group.Wait()
	if b.ctx.Err() != nil {
		return apierror.New(apierror.Canceled, "the client disconnected")
	}
	return overall
}

// fetchImage fetches an image into a pooled buffer. Its bytes count like those of a body.
func (s *Server) fetchImage(ctx context.Context, address string, b *body) ([]byte, error) {
	content, length, err := s.fetcher.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	limit := int64(s.cfg.MaxImageBytes)
	tooLarge := apierror.New(apierror.BodyTooLarge, "the image at its URL is larger than the limit of %d bytes", limit)
	if length > limit {
		return nil, tooLarge
	}
	hint := int(length)
	if length < 0 {
		hint = initialSize
	}
	img, err := readAll(io.LimitReader(&countedReader{content, b}, limit+1), hint)
	switch {
	case err != nil:
		return nil, err
	case int64(len(img)) > limit:
		putBuffer(img)
		return nil, tooLarge
	case len(img) == 0:
		putBuffer(img)
		return nil, apierror.New(apierror.URLFailed, "the image at its URL is empty")
	}
	return shrink(img), nil
}

// countedReader counts bytes that arrive from elsewhere like those of the body.
type countedReader struct {
	io.Reader
	body *body
}

// Read implements io.Reader.
func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if full := r.body.admitted.Grow(int64(n)); full != nil {
		return n, full
	}
	r.body.reservation.received(n)
	return n, err
}
