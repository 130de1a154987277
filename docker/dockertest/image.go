package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ProgramImage builds an image that contains only a Go program, statically built from a package's path. It runs as an
// unprivileged user; changes are further Dockerfile lines. An empty host is the default engine.
func ProgramImage(ctx context.Context, host, name, program string, changes ...string) error {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover of a test is harmless
	file := filepath.Join(dir, "program")
	build := exec.CommandContext(ctx, "go", "build", "-o", file, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	archive, err := rootOf(data)
	if err != nil {
		return err
	}
	args := []string{"import"}
	for _, change := range append([]string{`ENTRYPOINT ["/program"]`, "USER 65532:65532"}, changes...) {
		args = append(args, "--change", change)
	}
	load := command(ctx, host, append(args, "-", name)...)
	load.Stdin = archive
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w\n%s", name, err, out)
	}
	return nil
}

// rootOf archives a root file system with the program and the mount points.
func rootOf(program []byte) (*bytes.Buffer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	var errs []error
	for _, dir := range []string{"tmp", "models", "run", "run/secrets"} {
		errs = append(errs, w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}))
	}
	errs = append(errs, w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program))}))
	_, err := w.Write(program)
	return &archive, errors.Join(append(errs, err, w.Close())...)
}

// RemoveImage removes an image, even if stopped containers use it.
func RemoveImage(ctx context.Context, host, name string) error {
	if out, err := command(ctx, host, "rmi", "--force", name).CombinedOutput(); err != nil {
		return fmt.Errorf("remove image %s: %w\n%s", name, err, out)
	}
	return nil
}

func command(ctx context.Context, host string, args ...string) *exec.Cmd {
	if host != "" {
		args = append([]string{"--host", host}, args...)
	}
	return exec.CommandContext(ctx, "docker", args...)
}
