package inference

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"fovea/inference/onnx"
	"fovea/preprocess"
)

// TestMain fails when native memory or goroutines are left after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := onnx.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d native values of ONNX Runtime were not freed\n", n)
		code = 1
	}
	if n := preprocess.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d native values of OpenCV were not freed\n", n)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
