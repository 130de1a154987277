package api

import (
	"io"
	"sync/atomic"

	"fovea/internal/apierror"

	"github.com/gin-gonic/gin"
)

const allowedMedia = "send one image as image/* or application/octet-stream, several as multipart/form-data or application/json"

// submission is the content of a request for predictions: encoded images and parameters.
type submission struct {
	images  [][]byte                // pooled buffers; nil once decoded, and of an image that could not be fetched
	urls    map[int]string          // of images to be fetched
	failed  map[int]*apierror.Error // of images that could not be fetched
	encoded atomic.Int64            // number of images that are not decoded yet
	params  params
}

// decoded frees an image's buffer, and ends the body's reservation after the last image. It may be called concurrently for
// different images; a second call for the same one does nothing.
func (in *submission) decoded(img int, b *body) {
	if in.images[img] == nil {
		return
	}
	putBuffer(in.images[img])
	in.images[img] = nil
	if in.encoded.Add(-1) == 0 {
		b.reservation.release()
	}
}

// bodyFormat is a way to send images.
type bodyFormat struct {
	limit int64 // bytes of the body
	read  func(s *Server, b *body, in *submission) error
}

// receive admits a request and reads its body in the format of its content type. The request stays admitted until the returned
// body is closed; on an error it is nil.
func (s *Server) receive(c *gin.Context, rc *requestContext) (*submission, *body, error) {
	format, err := s.bodyFormat(c.Request)
	if err != nil {
		return nil, nil, err
	}
	in := &submission{}
	if err := in.params.query(c.Request.URL.RawQuery); err != nil {
		return nil, nil, err
	}
	b, err := s.open(c, rc, format.limit)
	if err != nil {
		return nil, nil, err
	}
	err = format.read(s, b, in)
	rc.bytes = b.read
	if err == nil && len(in.urls) > 0 {
		err = s.fetchImages(b, in)
	}
	if err == nil && len(in.images) == 0 {
		err = apierror.New(apierror.Malformed, "the request has no image; %s", allowedMedia)
	}
	if err != nil {
		in.free()
		b.close()
		return nil, nil, s.bodyError(err, b)
	}
	b.reservation.arrived()
	in.encoded.Store(int64(len(in.images) - len(in.failed)))
	if len(in.failed) == len(in.images) {
		b.reservation.release()
	}
	rc.images = len(in.images)
	return in, b, nil
}

// free frees the images of a request that is refused while they are read.
func (in *submission) free() {
	for _, img := range in.images {
		if img != nil {
			putBuffer(img)
		}
	}
}

// readImage reads a body that is one image.
func readImage(_ *Server, b *body, in *submission) error {
	img, err := readAll(b, int(max(b.length, initialSize)))
	if err != nil {
		return err
	}
	if len(img) == 0 {
		putBuffer(img)
		return apierror.New(apierror.Malformed, "the body is empty; %s", allowedMedia)
	}
	in.images = append(in.images, img)
	return nil
}

// addImage reads one image of several. Its length is not known; most often it is the only one, and so about as long as what
// remains of the body.
func (s *Server) addImage(r io.Reader, b *body, in *submission) error {
	limit := int64(s.cfg.MaxImageBytes)
	img, err := readAll(io.LimitReader(r, limit+1), int(min(b.remaining(), limit)))
	if err != nil {
		return err
	}
	if int64(len(img)) > limit {
		putBuffer(img)
		return apierror.New(apierror.BodyTooLarge, "image %d is larger than the limit of %d bytes", len(in.images), limit)
	}
	in.images = append(in.images, shrink(img))
	return nil
}

// checkImageCount refuses an image beyond the limit before it is read.
func (s *Server) checkImageCount(in *submission) error {
	if len(in.images) < s.cfg.MaxImages {
		return nil
	}
	return apierror.New(apierror.Malformed, "the request has more than %d images, which is the limit", s.cfg.MaxImages)
}

// discard frees the images of a request that is refused before the engine gets them.
func (in *submission) discard(b *body) {
	for i := range in.images {
		in.decoded(i, b)
	}
}
