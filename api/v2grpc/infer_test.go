package v2grpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
	"fovea/internal/testenv"
)

// FuzzDecode compares decode with the decoder of protobuf.
func FuzzDecode(f *testing.F) {
	for _, m := range []*pb.ModelInferRequest{request("1", 1), typed(), {}, {RawInputContents: [][]byte{nil, {1}, nil}}} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(append(protowire.AppendVarint(protowire.AppendTag(nil, rawInputs, protowire.VarintType), 5), data...)) // of another type
		f.Add(append(data, data...))
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, got := &pb.ModelInferRequest{}, &pb.ModelInferRequest{}
		wrong, err := proto.Unmarshal(data, want), decode(data, got)
		if (wrong == nil) != (err == nil) {
			t.Fatalf("%v, want %v", err, wrong)
		}
		if wrong == nil && !proto.Equal(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	})
}

// The raw contents of a message are those that were received.
func TestRawContentsAreNotCopied(t *testing.T) {
	data, m := mustMarshal(t, request("", 1000)), &pb.ModelInferRequest{}
	if err := decode(data, m); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, m.GetRawInputContents()[0])
	if at < 0 || &data[at] != &m.GetRawInputContents()[0][0] {
		t.Error("the raw contents were copied")
	}
	if raw := m.GetRawInputContents()[0]; cap(raw) != len(raw) {
		t.Error("appending to the raw contents would overwrite the message")
	}
}

// call sends the bytes of a call of ModelInfer, and returns the status of HTTP, that of gRPC and the message about it.
func (s *testServer) call(t *testing.T, header http.Header, body io.Reader) (httpStatus int, code, message string, data []byte) {
	t.Helper()
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.conn.Target()+pb.GRPCInferenceService_ModelInfer_FullMethodName, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	for _, h := range []http.Header{response.Header, response.Trailer} {
		code, message = code+h.Get("Grpc-Status"), message+h.Get("Grpc-Message")
	}
	return response.StatusCode, code, message, data
}

func framed(flag byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(data))), data...)
}

// Calls that no library sends.
func TestCallsOnTheWire(t *testing.T) {
	s := open(t, roomy, Config{MaxMessageBytes: 1 << 20})
	good := framed(0, mustMarshal(t, request("", 1)))
	with := func(name, value string) http.Header {
		return http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, name: {value}}
	}
	for _, test := range []struct {
		name   string
		header http.Header
		body   []byte
		http   int
		code   codes.Code
		says   string
	}{
		{"a good call", with("X", "y"), good, 200, codes.OK, ""},
		{"with a subtype", with("Content-Type", "application/grpc+proto"), good, 200, codes.OK, ""},
		{"a call without compression", with("Grpc-Encoding", "identity"), good, 200, codes.OK, ""},
		{"no message", with("X", "y"), nil, 200, codes.InvalidArgument, "the call has no message"},
		{"a message that is cut off", with("X", "y"), good[:len(good)-1], 200, codes.Canceled, "disconnected"},
		{"a message of something else", with("X", "y"), framed(0, []byte{0xFF, 0xFF, 1}), 200, codes.InvalidArgument, "not a ModelInferRequest"},
		{"an undeclared compression", with("X", "y"), framed(1, good[prefixSize:]), 200, codes.InvalidArgument, "no grpc-encoding"},
		{"an announced message above the limit", with("X", "y"), framed(0, make([]byte, 1<<20+1)), 200, codes.ResourceExhausted, "larger than max"},
		{"an unknown compression", with("Grpc-Encoding", "zstd"), good, 200, codes.Unimplemented, "zstd"},
		{"a time limit that is none", with("Grpc-Timeout", "1 second"), good, 400, 0, ""},
		{"a time limit that is over", with("Grpc-Timeout", "1n"), good, 200, codes.DeadlineExceeded, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			httpStatus, code, message, data := s.call(t, test.header, bytes.NewReader(test.body))
			want := ""
			if test.http == http.StatusOK {
				want = strconv.Itoa(int(test.code))
			}
			if httpStatus != test.http || code != want || !strings.Contains(message, strings.ReplaceAll(test.says, " ", "%20")) && !strings.Contains(message, test.says) {
				t.Errorf("HTTP %d, status %s, %q", httpStatus, code, message)
			}
			answer := &pb.ModelInferResponse{}
			if test.http == http.StatusOK && test.code == codes.OK && (len(data) < prefixSize || proto.Unmarshal(data[prefixSize:], answer) != nil || len(answer.GetRawOutputContents()) != 2) {
				t.Errorf("answered %d bytes, %v", len(data), answer)
			}
		})
	}
}

// What the two ways to answer ModelInfer tell a client is the same.
func TestPlainAndCompressedCallsAgree(t *testing.T) {
	s := open(t, roomy, Defaults())
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "the-id")
	wrong := request("", 1)
	wrong.ModelName = "größer als %"
	for _, r := range []*pb.ModelInferRequest{request("a", 3), typed(), wrong, {}} {
		plain, err1 := s.client.ModelInfer(ctx, r)
		compressed, err2 := s.client.ModelInfer(ctx, r, grpc.UseCompressor("gzip"))
		if !proto.Equal(plain, compressed) || status.Code(err1) != status.Code(err2) || status.Convert(err1).Message() != status.Convert(err2).Message() {
			t.Errorf("%.100v\n%v, %v\n%v, %v", r, plain, err1, compressed, err2)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := s.client.ModelInfer(late, request("", 1)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("late: %v", err)
	}
}
