package heif

/*
#cgo CFLAGS: -O3
#include "child.h"
*/
import "C"

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"fovea/internal/apierror"
	"fovea/preprocess/header"
)

// The errors of images that a decoder process ends with.
var statusErrors = map[int]error{
	C.FOVEA_CORRUPT: errors.New("the image data is not valid"),
	C.FOVEA_SIZE:    errors.New("the image data is of another size"),
	C.FOVEA_MEMORY:  errors.New("decoding takes more memory than an image of this size may"),
}

var (
	errTime  = errors.New("decoding takes more CPU time than an image of this size may")
	errCrash = errors.New("the decoder cannot cope with the image data")
)

// request is what is asked of a decoder process.
type request struct {
	head  C.struct_fovea_request
	parts []C.struct_fovea_part
}

// newRequest describes an image and the parts of it that are wanted.
func newRequest(f header.Format, img *header.HEIFImage, alpha bool, parts []part) *request {
	r := &request{head: C.struct_fovea_request{
		codec: C.FOVEA_AV1, width: C.uint32_t(img.TileWidth), height: C.uint32_t(img.TileHeight), parts: C.uint32_t(len(parts)),
		matrix: said(img.Matrix), primaries: said(img.Primaries), full_range: said(img.FullRange),
	}}
	if f == header.HEIC {
		r.head.codec, r.head.config_bytes = C.FOVEA_HEVC, C.uint32_t(len(img.Config))
	}
	if alpha {
		r.head.alpha = 1
	}
	bytes := 0
	for _, p := range parts {
		n := 0
		for _, d := range p.data {
			n += len(d)
		}
		bytes += n
		r.parts = append(r.parts, C.struct_fovea_part{bytes: C.uint32_t(n), left: C.uint32_t(p.from.Min.X), top: C.uint32_t(p.from.Min.Y),
			width: C.uint32_t(p.from.Dx()), height: C.uint32_t(p.from.Dy())})
	}
	r.head.memory, r.head.cpu_ms = C.uint64_t(memoryLimit(img, bytes)), C.uint32_t(timeLimit(f, img, len(parts), bytes).Milliseconds())
	return r
}

// said is what the container says of the colors, or that the stream is to say it.
func said(v int) C.uint32_t {
	if v < 0 {
		return C.FOVEA_FROM_STREAM
	}
	return C.uint32_t(v)
}

// process is a running decoder process.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs the program as a decoder process, which is killed when ctx ends, and sends it the request.
func start(ctx context.Context, r *request) (*process, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe") // the running program, even if its file was replaced
	cmd.Args = []string{C.FOVEA_DECODER_NAME}
	cmd.Env = []string{}
	if path, set := os.LookupEnv("LD_LIBRARY_PATH"); set {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+path)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for the server
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, unstarted(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(unstarted(err), in.Close())
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unstarted(err)
	}
	p := &process{cmd, in, bufio.NewReaderSize(out, 1<<16)}
	_, err = in.Write(unsafe.Slice((*byte)(unsafe.Pointer(&r.head)), C.sizeof_struct_fovea_request))
	if err == nil {
		_, err = in.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(r.parts))), len(r.parts)*C.sizeof_struct_fovea_part))
	}
	if err != nil {
		return nil, p.end(ctx, err)
	}
	return p, nil
}

func unstarted(err error) error {
	return apierror.Wrap(apierror.Internal, err, "the image decoder cannot be started")
}

// send writes the configuration and the data of the tiles.
func (p *process) send(config []byte, parts []part) error {
	_, err := p.in.Write(config)
	for _, part := range parts {
		for _, d := range part.data {
			if err == nil {
				_, err = p.in.Write(d)
			}
		}
	}
	return errors.Join(err, p.in.Close())
}

// receive reads the tiles' pixels into an image of a width.
func (p *process) receive(parts []part, pixels []byte, width int) error {
	for _, part := range parts {
		row := 3 * part.from.Dx()
		for y := range part.from.Dy() {
			at := 3 * ((part.to.Y+y)*width + part.to.X)
			if row == 3*width { // all rows at once
				_, err := io.ReadFull(p.out, pixels[at:][:row*part.from.Dy()])
				if err != nil {
					return err
				}
				break
			}
			if _, err := io.ReadFull(p.out, pixels[at:][:row]); err != nil {
				return err
			}
		}
	}
	return nil
}

// end waits for the process and returns why it ended, or what went wrong with its pipes.
func (p *process) end(ctx context.Context, piped error) error {
	if piped != nil {
		_ = p.cmd.Process.Kill() // or it has ended
	}
	err := p.cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ended, isExit := errors.AsType[*exec.ExitError](err)
	if !isExit {
		return errors.Join(err, piped)
	}
	status, _ := ended.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGPROF:
		return errTime
	case status.Signaled():
		return fmt.Errorf("%w: %v", errCrash, status.Signal())
	case status.ExitStatus() == C.FOVEA_UNSUPPORTED:
		return apierror.New(apierror.UnsupportedFormat, "the colors or the depth of the image are not supported; save it as JPEG")
	}
	if reason, known := statusErrors[status.ExitStatus()]; known {
		return reason
	}
	return fmt.Errorf("the image decoder ended with status %d: %w", status.ExitStatus(), errors.Join(piped, errCrash))
}
