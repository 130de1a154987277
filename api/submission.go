package api

import (
	"io"
	"sync/atomic"

	"fovea/fault"

	"github.com/gin-gonic/gin"
)

const allowedMedia = "send one picture as image/* or application/octet-stream, several as multipart/form-data or application/json"

// submission is what a request for predictions asks: pictures as they were encoded, and parameters.
type submission struct {
	pictures [][]byte     // pooled buffers; nil once decoded
	encoded  atomic.Int64 // pictures that are not decoded
	params   params
}

// decoded gives a picture's buffer back. Nothing may read the picture any more. Pictures may be decoded at the same
// time, each by one goroutine; a second call for the same one does nothing.
func (in *submission) decoded(picture int, b *body) {
	if in.pictures[picture] == nil {
		return
	}
	giveBuffer(in.pictures[picture])
	in.pictures[picture] = nil
	if in.encoded.Add(-1) == 0 {
		b.share.leave()
	}
}

// recycle gives the buffers back of a request that is not answered.
func (in *submission) recycle() {
	for _, picture := range in.pictures {
		giveBuffer(picture)
	}
	in.pictures = nil
}

// form is one way to send pictures.
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
	if err == nil && len(in.pictures) == 0 {
		err = fault.New(fault.Malformed, "the request holds no picture; %s", allowedMedia)
	}
	if err != nil {
		in.recycle()
		b.close()
		return nil, nil, s.bodyFault(err, b)
	}
	b.arrived()
	in.encoded.Store(int64(len(in.pictures)))
	x.pictures = len(in.pictures)
	return in, b, nil
}

// readPicture reads a body that is one picture.
func readPicture(_ *Server, b *body, in *submission) error {
	picture, err := readAll(b, int(max(b.length, firstRoom)))
	if err != nil {
		return err
	}
	if len(picture) == 0 {
		giveBuffer(picture)
		return fault.New(fault.Malformed, "the body is empty; %s", allowedMedia)
	}
	in.pictures = append(in.pictures, picture)
	return nil
}

// addPicture reads one picture of several, whose place in the request is used in messages. Its length is not known; most
// often it is the only one, so that it is about as long as what is left of the body.
func (s *Server) addPicture(r io.Reader, b *body, in *submission) error {
	limit := s.cfg.MaxImageBytes
	picture, err := readAll(io.LimitReader(r, limit+1), int(min(b.left(), limit)))
	if err != nil {
		return err
	}
	if int64(len(picture)) > limit {
		giveBuffer(picture)
		return fault.New(fault.BodyTooLarge, "image %d is larger than %d bytes, the most that is read", len(in.pictures), limit)
	}
	in.pictures = append(in.pictures, fitted(picture))
	return nil
}

// roomForPicture refuses a picture too many before it is read.
func (s *Server) roomForPicture(in *submission) error {
	if len(in.pictures) < s.cfg.MaxImages {
		return nil
	}
	return fault.New(fault.Malformed, "the request holds more than %d pictures, the most that are taken at once", s.cfg.MaxImages)
}
