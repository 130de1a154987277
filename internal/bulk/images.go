package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// quality is that of JPEGs that are written.
const quality = 95

// formatOf is the format of what is made of an image: JPEG of JPEG, and otherwise PNG.
func formatOf(data []byte) string {
	if bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
		return "jpeg"
	}
	return "png"
}

// fileOf is the name of what is made of an image: its own if that is usual for the format, otherwise with another ending, so that
// two images never share one.
func fileOf(rel, format string) string {
	ending := strings.ToLower(filepath.Ext(rel))
	switch {
	case format == "jpeg" && (ending == ".jpg" || ending == ".jpeg"), format == "png" && ending == ".png":
		return rel
	case format == "jpeg":
		return rel + ".jpg"
	}
	return rel + ".png"
}

// Overwritten returns the name of an image that annotated images in a folder would overwrite; empty if there is none.
func Overwritten(dir string, inputs []Input) string {
	for _, in := range inputs {
		target, err := os.Stat(filepath.Join(dir, in.Rel))
		if err != nil || in.Rel == "" || target.IsDir() {
			continue
		}
		if image, err := os.Stat(in.Name); err == nil && os.SameFile(image, target) {
			return in.Name
		}
	}
	return ""
}

// annotate writes the image with its answer.
func (r *run) annotate(ctx context.Context, j *job, data []byte) error {
	format := formatOf(data)
	drawn, err := r.predictor.Draw(ctx, data, j.answer, format)
	if err != nil {
		return classify(err)
	}
	return save(filepath.Join(r.Annotate, fileOf(j.in.Rel, format)), drawn)
}

// save writes a file and the folders above it.
func save(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return saveError(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			_ = os.Remove(path) // a part of an image is of no use, and takes space
		}
		return saveError(err)
	}
	return nil
}

// saveError marks an error as one of the image, if its name cannot be that of a file, or as one that ends the run: others would have it,
// too.
func saveError(err error) error {
	for _, one := range []error{syscall.ENAMETOOLONG, syscall.EISDIR, syscall.ENOTDIR, syscall.EEXIST, syscall.EINVAL, syscall.EILSEQ} {
		if errors.Is(err, one) {
			return &imageError{err}
		}
	}
	return &fatalError{err}
}

// MakeFolder makes a folder that files can be made in, with those above it.
func MakeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".serve-predict-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// crop writes what is in the boxes of an answer: CLASS/IMAGE-N, where N is the place of the box in the answer, from 1.
func (r *run) crop(ctx context.Context, j *job, data []byte) error {
	boxes, err := boxesOf(j.answer.JSON)
	if err != nil {
		return &imageError{err}
	}
	if len(boxes) == 0 {
		return nil
	}
	var failed error
	err = r.predictor.Decode(ctx, data, func(img *image.RGBA, scale float64) error {
		for i, b := range boxes {
			if failed = r.cropBox(j.in.Rel, formatOf(data), i+1, b, img, scale); failed != nil {
				return failed
			}
		}
		return nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return classify(err)
	}
	return nil
}

func (r *run) cropBox(rel, format string, number int, b box, img *image.RGBA, scale float64) error {
	part := image.Rect(int(math.Floor(b.x1*scale)), int(math.Floor(b.y1*scale)), int(math.Ceil(b.x2*scale)), int(math.Ceil(b.y2*scale))).Intersect(img.Rect)
	if part.Empty() {
		return nil
	}
	cut := image.NewRGBA(image.Rect(0, 0, part.Dx(), part.Dy()))
	draw.Draw(cut, cut.Rect, img, part.Min, draw.Src)
	encoded, err := Encode(cut, format)
	if err != nil {
		return &imageError{err}
	}
	ending := filepath.Ext(rel)
	name := fileOf(fmt.Sprintf("%s-%d%s", strings.TrimSuffix(rel, ending), number, ending), format)
	return save(filepath.Join(r.Crop, folderName(b.label), name), encoded)
}

// folderName is a label as the name of a folder: no separators, and neither hidden nor empty.
func folderName(label string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.TrimSpace(label))
	if strings.HasPrefix(name, ".") {
		name = "_" + name[1:]
	}
	if name == "" {
		return "_"
	}
	for len(name) > maxName {
		runes := []rune(name)
		name = string(runes[:len(runes)-1])
	}
	return name
}

// maxName is that of common file systems in bytes.
const maxName = 200

// Encode encodes an image as png or jpeg.
func Encode(img image.Image, format string) ([]byte, error) {
	var b bytes.Buffer
	var err error
	if format == "jpeg" {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: quality})
	} else {
		encoder := png.Encoder{CompressionLevel: png.BestSpeed}
		err = encoder.Encode(&b, img)
	}
	return b.Bytes(), err
}
