package v2grpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
	"fovea/internal/httpserver"
)

// rawInputs is the number of the field raw_input_contents of a ModelInferRequest.
const rawInputs = 7

// isPlainInfer reports whether a request is a call of ModelInfer without compression, which serveInfer answers.
func isPlainInfer(r *http.Request) bool {
	if r.Method != http.MethodPost || r.URL.Path != pb.GRPCInferenceService_ModelInfer_FullMethodName {
		return false
	}
	if coding := r.Header.Get("Grpc-Encoding"); coding != "" && coding != "identity" {
		return false
	}
	switch r.Header.Get("Content-Type") {
	case grpcstatus.ContentType, grpcstatus.ContentType + "+proto":
		return true
	}
	return false
}

// serveInfer answers a call of ModelInfer, as in https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. grpc-go's own handler
// would take the message in pieces of 8 KiB, each through another goroutine, and copy its tensors three times; here they stay where
// they were received until they are copied to a batch.
func (s *Server) serveInfer(w http.ResponseWriter, r *http.Request, m *messages) {
	ctx := m.ctx
	if text := r.Header.Get(grpcstatus.TimeoutHeader); text != "" {
		limit, ok := grpcstatus.ParseTimeout(text)
		if !ok {
			http.Error(w, "malformed grpc-timeout", http.StatusBadRequest)
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if id := r.Header["X-Request-Id"]; len(id) > 0 {
		ctx = metadata.NewIncomingContext(ctx, metadata.MD{"x-request-id": id})
	}
	request := &pb.ModelInferRequest{}
	if err := m.readRequest(request); err != nil {
		m.fail(0, err)
	}
	defer m.free()
	answer, err := s.unary(ctx, request, &grpc.UnaryServerInfo{FullMethod: pb.GRPCInferenceService_ModelInfer_FullMethodName}, func(ctx context.Context, _ any) (any, error) {
		return s.service.ModelInfer(ctx, request)
	})
	m.free()
	var message []byte
	if err == nil {
		message, err = frame(answer.(*pb.ModelInferResponse)) //nolint:forcetypeassert // of ModelInfer
	}
	if err != nil {
		failed := status.Convert(err)
		grpcstatus.End(w, failed.Code(), failed.Message())
		return
	}
	h := w.Header()
	h.Set("Content-Type", r.Header.Get("Content-Type"))
	h["Content-Length"] = nil // gRPC has none
	httpserver.Together(r, len(message))
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(message); err == nil {
		grpcstatus.Set(h, http.TrailerPrefix, codes.OK, "")
	}
}

// readRequest reads the only message of a call, and decodes it. Its raw contents refer to the memory of the message, until free.
func (m *messages) readRequest(request *pb.ModelInferRequest) error {
	m.shares = true
	err := m.next()
	switch {
	case errors.Is(err, io.EOF):
		return apierror.New(apierror.Malformed, "the call has no message")
	case err != nil:
		return m.failure(err, 0)
	}
	if err := m.refused(0); err != nil {
		return err
	}
	if n := int64(binary.BigEndian.Uint32(m.prefix[1:])); n > m.server.maxMessage {
		return apierror.New(apierror.BodyTooLarge, "received message larger than max (%d vs. %d bytes)", n, m.server.maxMessage)
	}
	if m.prefix[0] != 0 {
		return apierror.New(apierror.Malformed, "the message is compressed, and the call has no grpc-encoding")
	}
	return decode(m.payload, request)
}

// decode decodes a message. Its raw contents, in which almost all of its bytes are, are not copied.
func decode(data []byte, m *pb.ModelInferRequest) error {
	rest, raw, size := data, [][]byte(nil), 0
	err := eachField(data, func(number protowire.Number, value, _ []byte) {
		if number == rawInputs && value != nil {
			raw = append(raw, value)
			size += len(value)
		}
	})
	if err == nil && len(raw) > 0 {
		rest = make([]byte, 0, len(data)-size)
		err = eachField(data, func(number protowire.Number, value, field []byte) {
			if number != rawInputs || value == nil {
				rest = append(rest, field...)
			}
		})
	}
	if err == nil {
		err = proto.Unmarshal(rest, m)
	}
	if err != nil {
		return apierror.New(apierror.Malformed, "the message is not a ModelInferRequest: %v", err)
	}
	m.RawInputContents = append(m.RawInputContents, raw...)
	return nil
}

// eachField calls use for each field of a message, with its value if it is one of bytes, and with the whole field.
func eachField(data []byte, use func(number protowire.Number, value, field []byte)) error {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		length := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		field, value := data[:tag+length], []byte(nil)
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(field[tag:])
			value = value[:len(value):len(value)]
		}
		use(number, value, field)
		data = data[tag+length:]
	}
	return nil
}

// frame is a message with what precedes it.
func frame(m *pb.ModelInferResponse) ([]byte, error) {
	size := proto.Size(m)
	if size > math.MaxInt32 {
		return nil, status.Errorf(codes.ResourceExhausted, "the response has %d bytes; the limit is %d", size, math.MaxInt32)
	}
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, prefixSize, prefixSize+size), m)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "the response cannot be encoded: %v", err)
	}
	binary.BigEndian.PutUint32(data[1:], uint32(len(data)-prefixSize))
	return data, nil
}
