package v2grpc

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// inputOf describes the messages that a method takes; nil if there is no such method.
func inputOf(path string) protoreflect.MessageDescriptor {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".")
	d, _ := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name)) // gRPC refuses an unknown method
	if method, ok := d.(protoreflect.MethodDescriptor); ok {
		return method.Input()
	}
	return nil
}

// take gives a message that has arrived to Read, after it has admitted the memory that the message takes decompressed and decoded.
// It takes data's memory, which is of m.buffer.
func (m *messages) take(data []byte, admitted *admission.Body) error {
	if m.prefix[0] == 1 {
		var err error
		switch m.coding {
		case "gzip":
			data, err = m.inflate(data, admitted, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
		case "deflate":
			data, err = m.inflate(data, admitted, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
		default:
			m.input = nil // gRPC refuses it
		}
		if err != nil {
			return err
		}
	}
	if m.input != nil {
		if err := admitted.Grow(decodedSize(data, m.input) + m.unshared(data)); err != nil {
			return err
		}
	}
	m.add(admitted)
	m.payload = data
	return nil
}

// unshared is how much more memory a message takes when its raw contents are not copied: less, unless there is almost nothing else.
func (m *messages) unshared(data []byte) int64 {
	if !m.shares {
		return 0
	}
	raw, rest := int64(0), int64(0)
	_ = eachField(data, func(number protowire.Number, value, field []byte) { // decode returns the error
		if number == rawInputs && value != nil {
			raw += int64(len(value))
			return
		}
		rest += int64(len(field))
	})
	if raw == 0 {
		return 0
	}
	return rest - raw
}

// inflate decompresses a message. What it takes is admitted before it is there.
func (m *messages) inflate(data []byte, admitted *admission.Body, open func(io.Reader) (io.Reader, error)) ([]byte, error) {
	malformed := func(err error) error {
		return apierror.New(apierror.Malformed, "the message is not compressed with %s: %v", m.coding, err)
	}
	reader, err := open(bytes.NewReader(data))
	if err != nil {
		return nil, malformed(err)
	}
	out := []byte{}
	for {
		if len(out) == cap(out) {
			size := max(firstRead, 2*cap(out))
			if err := admitted.Grow(int64(size)); err != nil {
				return nil, err
			}
			out = append(make([]byte, 0, size), out...)
		}
		n, err := reader.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > m.server.maxMessage:
			return nil, apierror.New(apierror.BodyTooLarge, "the decompressed message is larger than the limit of %d bytes", m.server.maxMessage)
		case errors.Is(err, io.EOF):
			m.prefix = binary.BigEndian.AppendUint32([]byte{0}, uint32(len(out)))
			return out, nil
		case err != nil:
			return nil, malformed(err)
		}
	}
}

// The memory that parts of a decoded message take at most, in bytes: a message or an entry of a map, with the pointer to it in a list
// that has grown; a string, likewise; a number outside a packed list.
const (
	decodedMessage = 256
	decodedString  = 64
	decodedNumber  = 16
)

// decodedSize is how much memory a message takes at most when it is decoded: a list of empty messages is a hundred times as large as it
// was on the wire. What is not valid is not counted; gRPC refuses it.
func decodedSize(data []byte, d protoreflect.MessageDescriptor) (size int64) {
	_ = eachField(data, func(number protowire.Number, value, whole []byte) {
		field := d.Fields().ByNumber(number)
		switch {
		case field == nil:
			size += 2 * int64(len(whole)) // kept as it is, in a list of bytes that grows
		case value == nil:
			size += decodedNumber
		default:
			size += decodedField(value, field)
		}
	})
	return size
}

// decodedField is the size of a field that has a length.
func decodedField(value []byte, field protoreflect.FieldDescriptor) int64 {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return decodedMessage + decodedSize(value, field.Message())
	case protoreflect.StringKind, protoreflect.BytesKind:
		return decodedString + int64(len(value))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return int64(len(value))
	}
	numbers := 0
	for _, b := range value {
		if b < 0x80 { // the last byte of a number
			numbers++
		}
	}
	return 8 * int64(numbers)
}
