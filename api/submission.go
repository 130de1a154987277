package api

import (
	"io"
	"sync/atomic"

	"fovea/internal/apierror"

	"github.com/gin-gonic/gin"
)

const allowedMedia = "send one image as image/* or application/octet-stream, several as multipart/form-data or application/json"

// submission is what a request for predictions asks: images as they were encoded, and parameters.
type submission struct {
	images  [][]byte     // pooled buffers; nil once decoded
	encoded atomic.Int64 // images that are not decoded
	params  params
}

// decoded gives an image's buffer back. Nothing may read the image any more. Images may be decoded at the same
// time, each by one goroutine; a second call for the same one does nothing.
func (in *submission) decoded(img int, b *body) {
	if in.images[img] == nil {
		return
	}
	giveBuffer(in.images[img])
	in.images[img] = nil
	if in.encoded.Add(-1) == 0 {
		b.share.leave()
	}
}

// recycle gives the buffers back of a request that is not answered.
func (in *submission) recycle() {
	for _, img := range in.images {
		giveBuffer(img)
	}
	in.images = nil
}

// form is one way to send images.
type form struct {
	limit int64 // bytes of the body
	read  func(s *Server, b *body, in *submission) error
}

// receive reads a request's body as its content type says. The body's share of the budget is held until the
// returned body is closed, which is nil on an error.
func (s *Server) receive(c *gin.Context, x *exchange) (*submission, *body, error) {
	f, err := s.form(c.Request)
	if err != nil {
		return nil, nil, err
	}
	in := &submission{}
	if err := in.params.query(c.Request.URL.RawQuery); err != nil {
		return nil, nil, err
	}
	b, err := s.open(c, f.limit)
	if err != nil {
		return nil, nil, err
	}
	err = f.read(s, b, in)
	x.bytes = b.read
	if err == nil && len(in.images) == 0 {
		err = apierror.New(apierror.Malformed, "the request holds no image; %s", allowedMedia)
	}
	if err != nil {
		in.recycle()
		b.close()
		return nil, nil, s.bodyFault(err, b)
	}
	b.arrived()
	in.encoded.Store(int64(len(in.images)))
	x.images = len(in.images)
	return in, b, nil
}

// readImage reads a body that is one image.
func readImage(_ *Server, b *body, in *submission) error {
	img, err := readAll(b, int(max(b.length, firstRoom)))
	if err != nil {
		return err
	}
	if len(img) == 0 {
		giveBuffer(img)
		return apierror.New(apierror.Malformed, "the body is empty; %s", allowedMedia)
	}
	in.images = append(in.images, img)
	return nil
}

// addImage reads one image of several, whose place in the request is used in messages. Its length is not known; most
// often it is the only one, so that it is about as long as what is left of the body.
func (s *Server) addImage(r io.Reader, b *body, in *submission) error {
	limit := int64(s.cfg.MaxImageBytes)
	img, err := readAll(io.LimitReader(r, limit+1), int(min(b.left(), limit)))
	if err != nil {
		return err
	}
	if int64(len(img)) > limit {
		giveBuffer(img)
		return apierror.New(apierror.BodyTooLarge, "image %d is larger than %d bytes, the most that is read", len(in.images), limit)
	}
	in.images = append(in.images, fitted(img))
	return nil
}

// roomForImage refuses an image too many before it is read.
func (s *Server) roomForImage(in *submission) error {
	if len(in.images) < s.cfg.MaxImages {
		return nil
	}
	return apierror.New(apierror.Malformed, "the request holds more than %d images, the most that are taken at once", s.cfg.MaxImages)
}
