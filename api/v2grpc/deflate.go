package v2grpc

import (
	"compress/zlib"
	"io"

	"google.golang.org/grpc/encoding"
)

// deflate is the compressor that clients of gRPC's C core call deflate: the format of zlib. grpc-go has none.
type deflate struct{}

func init() { encoding.RegisterCompressor(deflate{}) } //nolint:gochecknoinits // where grpc-go looks for compressors

// Name implements encoding.Compressor.
func (deflate) Name() string { return "deflate" }

// Compress implements encoding.Compressor.
func (deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	return zlib.NewWriterLevel(w, zlib.BestSpeed)
}

// Decompress implements encoding.Compressor.
func (deflate) Decompress(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }
