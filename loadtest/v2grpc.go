package loadtest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// A call of gRPC is a POST over HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. The load is sent by net/http as
// with the other protocols, from bodies that are made once.

// inferMethod is the path of a call for inference.
const inferMethod = "/inference.GRPCInferenceService/ModelInfer"

// framePrefix is the length of what precedes a message: whether it is compressed, and its length in four bytes.
const framePrefix = 5

// Field numbers of the messages: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto.
const (
	requestModel   = 1 // of ModelInferRequest
	requestInputs  = 5
	requestRaw     = 7
	responseOutput = 5 // of ModelInferResponse
	responseRaw    = 6
	tensorName     = 1 // of InferInputTensor and InferOutputTensor
	tensorDatatype = 2
	tensorShape    = 3
)

// grpcRequest makes a ModelInferRequest with raw contents.
func grpcRequest(model string, inputs []tensor) body {
	message := appendField(make([]byte, framePrefix), requestModel, []byte(model))
	for _, t := range inputs {
		var shape []byte
		for _, size := range t.Shape {
			shape = protowire.AppendVarint(shape, uint64(size))
		}
		info := appendField(nil, tensorName, []byte(t.Name))
		info = appendField(info, tensorDatatype, []byte(t.Datatype))
		message = appendField(message, requestInputs, appendField(info, tensorShape, shape))
	}
	for _, t := range inputs {
		message = appendField(message, requestRaw, t.data)
	}
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-framePrefix))
	return body{data: message, contentType: "application/grpc", header: http.Header{"Te": {"trailers"}}}
}

func appendField(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

var errNoMessage = errors.New("not a message of protobuf")

// grpcResponse reads the outputs of a ModelInferResponse. They share its memory.
func grpcResponse(message []byte) ([]tensor, error) {
	var list []tensor
	var raw [][]byte
	err := eachField(message, func(number protowire.Number, value []byte, _ uint64) error {
		switch number {
		case responseOutput:
			t, err := grpcTensor(value)
			list = append(list, t)
			return err
		case responseRaw:
			raw = append(raw, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(raw) != len(list) {
		return nil, fmt.Errorf("there are %d raw contents of %d outputs", len(raw), len(list))
	}
	for i := range list {
		list[i].data = raw[i]
	}
	return list, nil
}

func grpcTensor(message []byte) (t tensor, err error) {
	err = eachField(message, func(number protowire.Number, value []byte, one uint64) error {
		switch number {
		case tensorName:
			t.Name = string(value)
		case tensorDatatype:
			t.Datatype = string(value)
		case tensorShape:
			if value == nil { // not packed
				t.Shape = append(t.Shape, int64(one))
			}
			for len(value) > 0 {
				size, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return errNoMessage
				}
				t.Shape, value = append(t.Shape, int64(size)), value[n:]
			}
		}
		return nil
	})
	return t, err
}

// eachField calls use for each field of a message: with the value of one of bytes, which is not nil, or with that of a varint.
// Other fields are skipped.
func eachField(message []byte, use func(number protowire.Number, value []byte, varint uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNoMessage
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return errNoMessage
		}
		var err error
		switch kind {
		case protowire.BytesType:
			value, _ := protowire.ConsumeBytes(message)
			err = use(number, value[:len(value):len(value)], 0)
		case protowire.VarintType:
			varint, _ := protowire.ConsumeVarint(message)
			err = use(number, nil, varint)
		}
		if err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// grpcCodes are the names of a call's statuses: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md.
var grpcCodes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// grpcResult turns the response of a call into one of HTTP, whose body is the message without its prefix. That of a failed call has
// the status 500, with the kind of failure as the status text and the server's message as the body.
func grpcResult(response *http.Response, data []byte) *http.Response {
	field := func(name string) string { return cmp.Or(response.Trailer.Get(name), response.Header.Get(name)) }
	kind, text := "", data
	switch code, err := strconv.Atoi(field("Grpc-Status")); {
	case response.StatusCode != http.StatusOK:
		kind = fmt.Sprintf("HTTP %d", response.StatusCode)
	case err != nil || code < 0 || code >= len(grpcCodes):
		kind = kindNoStatus
	case code > 0:
		kind, text = grpcCodes[code], []byte(field("Grpc-Message"))
		if unescaped, err := url.PathUnescape(string(text)); err == nil {
			text = []byte(unescaped)
		}
	case len(data) < framePrefix || data[0] != 0 || int64(binary.BigEndian.Uint32(data[1:])) != int64(len(data)-framePrefix):
		kind = kindFrame
	default:
		text = data[framePrefix:]
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	if kind != "" {
		response.StatusCode, response.Status = http.StatusInternalServerError, kind
	}
	return response
}
