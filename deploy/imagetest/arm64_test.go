//go:build image && arm64emulation

package imagetest

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestARM64 builds the image for linux/arm64 and requests a prediction under qemu-user.
func TestARM64(t *testing.T) {
	const image = "fovea-test:arm64"
	if _, err := os.Stat("/proc/sys/fs/binfmt_misc/qemu-aarch64"); err != nil {
		t.Fatalf("arm64 programs do not run here: install qemu-user-static and binfmt-support (%v)", err)
	}
	// The builder would ask a registry for the arm64 variant of debian:bookworm-slim. The explicit name works everywhere.
	base := cmp.Or(os.Getenv("FOVEA_ARM64_BASE"), "arm64v8/debian:bookworm-slim")
	if err := build(io.Discard, root(), "-t", image, "--platform", "linux/arm64", "--build-arg", "DEBIAN_IMAGE="+base); err != nil {
		t.Fatal(err)
	}
	sizes(t, image)
	// The CPU that armProcessors describes. With everything that qemu 7.2 emulates, including SME and SVE, a run of ONNX
	// Runtime hangs on some hosts.
	c := start(t, image, "--platform", "linux/arm64", "--env", "QEMU_CPU=cortex-a72", "--volume", armProcessors(t)+":/proc/cpuinfo:ro")
	var got struct{ Image string }
	inspect(t, c.id, &got)
	if architecture := docker(t, "image", "inspect", "--format", "{{.Architecture}}", got.Image); architecture != "arm64" {
		t.Errorf("the container runs an image for %s", architecture)
	}
	c.ready(t)
	c.wantEspresso(t)
}

// armProcessors writes the /proc/cpuinfo of a machine with Cortex-A72 cores. Under qemu-user before 8.2 the file
// is the host's, and ONNX Runtime crashes if it lists no arm64 CPU.
func armProcessors(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for i := range 2 {
		fmt.Fprintf(&text, "processor\t: %d\nBogoMIPS\t: 100.00\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32\n"+
			"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n", i)
	}
	path := filepath.Join(t.TempDir(), "cpuinfo")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
