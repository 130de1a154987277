package v2grpc

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// FuzzContents reads the inputs of any message as any datatype and number of elements. Each error is one of the client.
func FuzzContents(f *testing.F) {
	for _, m := range []*pb.ModelInferRequest{request("1", 1), typed()} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "FP32", int64(4))
		f.Add(data, "BYTES", int64(1))
		f.Add(data, "UINT8", int64(1<<40))
	}
	f.Fuzz(func(t *testing.T, data []byte, datatype string, elements int64) {
		m := &pb.ModelInferRequest{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		r, err := parse(m)
		if err != nil {
			if apierror.From(err).Code.Status() >= 500 {
				t.Fatal(err)
			}
			return
		}
		for _, in := range r.Inputs {
			got, err := in.Data.Read(in.Name, datatype, elements)
			if err != nil && apierror.From(err).Code.Status() >= 500 {
				t.Fatal(err)
			}
			if size := v2.Size(datatype); err == nil && size > 0 && int64(len(got)) != elements*int64(size) {
				t.Fatalf("%d bytes for %d elements of %s", len(got), elements, datatype)
			}
		}
	})
}
