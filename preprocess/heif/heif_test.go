package heif

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/preprocess/header"
)

// TestMain fails if a process or a file is left.
func TestMain(m *testing.M) {
	files := openFiles()
	code := m.Run()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		fmt.Fprintf(os.Stderr, "a process is left: %d, %v\n", pid, err)
		code = 1
	}
	if n := openFiles(); n > files+2 { // Go's poller
		fmt.Fprintf(os.Stderr, "%d files are open, %d before\n", n, files)
		code = 1
	}
	os.Exit(code)
}

func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// files returns the images of testdata/heif whose format is built in.
func files(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, ext := range []string{"avif", "heic"} {
		found, err := filepath.Glob("../testdata/heif/*." + ext)
		if err != nil || len(found) == 0 {
			t.Fatalf("no images: %v", err)
		}
		if strings.Contains(header.Allowed, strings.ToUpper(ext)) {
			all = append(all, found...)
		}
	}
	if len(all) == 0 {
		t.Skip("neither format is built in")
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// grids are a grid of each format that is built in.
func grids(t testing.TB) map[string]*header.HEIFFile {
	t.Helper()
	list := map[string]*header.HEIFFile{}
	for _, name := range files(t) {
		if strings.Contains(name, "_grid.") {
			file, err := header.ParseHEIF(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			list[name] = &file
		}
	}
	return list
}

// many is a request for a grid's first tile, many times over.
func many(file *header.HEIFFile, times int) (*request, []part) {
	var parts []part
	for range times {
		parts = append(parts, part{file.Color.Tiles[0], image.Rect(0, 0, file.Color.TileWidth, file.Color.TileHeight), image.Point{}})
	}
	return newRequest(file.Format, &file.Color, false, parts), parts
}

// run is decode for a request.
func run(ctx context.Context, file *header.HEIFFile, r *request, parts []part) error {
	p, err := start(ctx, r)
	if err != nil {
		return err
	}
	sent := p.send(file.Color.Config[:r.head.config_bytes], parts)
	return p.end(ctx, errors.Join(sent, p.receive(parts, make([]byte, 3*file.Color.TileWidth*file.Color.TileHeight), file.Color.TileWidth)))
}

func TestDecodingStopsWithItsContext(t *testing.T) {
	for name, file := range grids(t) {
		r, parts := many(file, 100_000) // minutes
		r.head.cpu_ms, r.head.memory = 1_000_000, 1<<32
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := run(ctx, file, r, parts); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if err := run(ctx, file, r, parts); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, before it started: %v", name, err)
		}
	}
}

func TestLimitsOfDecoding(t *testing.T) {
	for name, file := range grids(t) {
		r, parts := many(file, 100_000)
		r.head.cpu_ms, r.head.memory = 30, 1<<32
		if err := run(t.Context(), file, r, parts); !errors.Is(err, errTime) {
			t.Errorf("%s, 30 ms: %v", name, err)
		}
		r, parts = many(file, 1)
		if err := run(t.Context(), file, r, parts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.head.memory = 1
		if err := run(t.Context(), file, r, parts); err == nil {
			t.Errorf("%s was decoded without memory", name)
		}
		r.head.memory, r.head.width = 1<<32, r.head.width+1
		if err := run(t.Context(), file, r, parts); err == nil || !strings.Contains(err.Error(), "another size") {
			t.Errorf("%s of another size: %v", name, err)
		}
	}
}

// status returns a line of a process's status.
func status(t *testing.T, pid int, name string) string {
	t.Helper()
	for line := range strings.Lines(string(read(t, fmt.Sprintf("/proc/%d/status", pid)))) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestDecodersAreConfined looks at a decoder process that waits for its image, and crashes it.
func TestDecodersAreConfined(t *testing.T) {
	for name, file := range grids(t) {
		r, parts := many(file, 1)
		r.parts = nil
		p, err := start(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		pid := p.cmd.Process.Pid
		for deadline := time.Now().Add(10 * time.Second); status(t, pid, "Seccomp") == "0" && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if mode := status(t, pid, "Seccomp"); mode != "2" && mode != "" {
			t.Errorf("%s: the mode of seccomp is %s", name, mode)
		}
		if v := status(t, pid, "NoNewPrivs"); v != "1" {
			t.Errorf("%s: may get privileges: %q", name, v)
		}
		if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err != nil || len(list) != 4 {
			t.Errorf("%s: %d files are open, %v", name, len(list), err)
		}
		if environment := read(t, fmt.Sprintf("/proc/%d/environ", pid)); bytes.Contains(environment, []byte("PATH=")) && !bytes.HasPrefix(environment, []byte("LD_")) {
			t.Errorf("%s: has the environment %q", name, environment)
		}
		if err := syscall.Kill(pid, syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
		if err := p.end(t.Context(), p.receive(parts, make([]byte, 3*64*64), 64)); !errors.Is(err, errCrash) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCorruptImages changes each byte of images once. Whatever comes of it, the error is the client's.
func TestCorruptImages(t *testing.T) {
	for _, name := range files(t) {
		if !strings.Contains(name, "_420") && !strings.Contains(name, "_alpha.") {
			continue
		}
		data := read(t, name)
		for at := 0; at < len(data); at += 1 + len(data)/40 {
			changed := bytes.Clone(data)
			changed[at] ^= 0xFF
			_ = decodeAny(t, fmt.Sprintf("%s, byte %d", name, at), changed)
		}
	}
}

// decodeAny decodes what may be corrupt, and returns colors and alpha.
func decodeAny(t *testing.T, what string, data []byte) []byte {
	info, err := header.Read(data, header.Limits{MaxPixels: 1 << 16})
	if err != nil || info.Format != header.AVIF && info.Format != header.HEIC {
		return nil
	}
	colors, alpha := make([]byte, 3*info.Width*info.Height), make([]byte, 3*info.Width*info.Height)
	err = Decode(t.Context(), data, colors, info.Width, info.Height)
	opaque, alphaErr := DecodeAlpha(t.Context(), data, alpha, info.Width, info.Height)
	for _, err := range []error{err, alphaErr} {
		if f, is := errors.AsType[*apierror.Error](err); is && f.Code != apierror.UnsupportedFormat {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err != nil || alphaErr != nil {
		return nil
	}
	if opaque {
		return colors
	}
	return append(colors, alpha...)
}

// FuzzDecode decodes corrupt images twice: the result must not depend on what memory held before.
func FuzzDecode(f *testing.F) {
	for _, name := range files(f) {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		first := decodeAny(t, "input", data)
		if second := decodeAny(t, "input", data); !bytes.Equal(first, second) {
			t.Fatal("two results differ")
		}
	})
}

func TestLimitsGrowWithTheImageAndTheMachine(t *testing.T) {
	if s := slowness(); s < 1 || s > 1000 {
		t.Errorf("this machine is %f times slower", s)
	}
	small := &header.HEIFImage{BitDepth: 8, Frames: 1, TileWidth: 64, TileHeight: 64}
	large, deep := *small, *small
	large.TileWidth, deep.BitDepth = 8192, 10
	if memoryLimit(&large, 0)-memoryLimit(small, 0) != 10*64*(8192-64) || memoryLimit(&deep, 0)-memoryLimit(small, 0) != 10*64*64 {
		t.Errorf("limits of memory: %d, %d, %d", memoryLimit(small, 0), memoryLimit(&large, 0), memoryLimit(&deep, 0))
	}
	for _, f := range []header.Format{header.AVIF, header.HEIC} {
		if one, ten := timeLimit(f, small, 1, 0), timeLimit(f, small, 10_000, 0); one < baseTime || ten < one+10_000*64*64*timeDuration(f)*9/10 {
			t.Errorf("%s: %v for a tile, %v for 10,000", f, one, ten)
		}
		if bytes := timeLimit(f, small, 1, 16<<20); bytes < 2*time.Second {
			t.Errorf("%s: %v for 16 MiB", f, bytes)
		}
	}
}

func timeDuration(f header.Format) time.Duration { return time.Duration(timeLimits[f].pixel) }

// TestInvalidDataIsAnError damages what comes first in the data of images, and their boxes.
func TestInvalidDataIsAnError(t *testing.T) {
	for name, file := range grids(t) {
		data := read(t, name)
		pixels := make([]byte, 3*file.Width*file.Height)
		at := bytes.Index(data, file.Color.Tiles[0][0])
		for _, i := range []int{4, 5, 6} { // in the sequence header of AV1, and in the header of a slice of HEVC
			damaged := bytes.Clone(data)
			damaged[at+i] ^= 0xFF
			if err := Decode(t.Context(), damaged, pixels, file.Width, file.Height); err == nil {
				t.Errorf("%s: byte %d is damaged, and no error", name, i)
			}
		}
		boxes := bytes.Replace(bytes.Clone(data), []byte("iloc"), []byte("XXXX"), 1)
		if err := Decode(t.Context(), boxes, pixels, file.Width, file.Height); err == nil {
			t.Errorf("%s: no places, and no error", name)
		}
		if opaque, err := DecodeAlpha(t.Context(), boxes, pixels, file.Width, file.Height); err == nil || opaque {
			t.Errorf("%s: no places, and no error of alpha", name)
		}
		if err := Decode(t.Context(), data, pixels[1:], file.Width, file.Height); err == nil {
			t.Errorf("%s was decoded to too few bytes", name)
		}
		if err := Decode(t.Context(), data, pixels, file.Width, file.Height+1); err == nil {
			t.Errorf("%s was decoded to another height", name)
		}
	}
}
