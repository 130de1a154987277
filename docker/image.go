package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/image"
)

// Labels of Fovea's images.
const (
	LabelCUDA      = "fovea.cuda"           // CUDA version such as 13.0; absent: the image is for the CPU
	LabelMinDriver = "fovea.driver.minimum" // minimum NVIDIA driver such as 580.65.06
	LabelVersion   = "org.opencontainers.image.version"
)

// Image is a container image on this machine.
type Image struct {
	ID      string // sha256:…
	Labels  map[string]string
	Env     []string
	User    string
	Volumes []string // declared by the image
}

// ImageInfo inspects an image by name, digest or ID. Errors: ErrNoImage, ErrRefused for an invalid reference, and those of every
// call.
func (c *Client) ImageInfo(ctx context.Context, ref string) (Image, error) {
	if !imageName(ref) {
		return Image{}, fmt.Errorf("image: %w: %q is not an image name, digest or ID", ErrRefused, ref)
	}
	found, err := call(ctx, c.timeouts.Call, "image "+ref, func(ctx context.Context) (image.InspectResponse, error) {
		return c.api.ImageInspect(ctx, ref)
	})
	if err != nil {
		return Image{}, refine(err, ErrNotFound, ErrNoImage)
	}
	i := Image{ID: found.ID}
	if found.Config != nil {
		i.Labels, i.Env, i.User = found.Config.Labels, found.Config.Env, found.Config.User
		i.Volumes = slices.Sorted(maps.Keys(found.Config.Volumes))
	}
	return i, nil
}

// Check returns ErrUnsafe for an image that sets loader variables (LD_…), runs as root by default, or declares volumes, which
// would be writable in a read-only container.
func (i Image) Check() error {
	var errs []error
	for _, variable := range i.Env {
		name, _, _ := strings.Cut(variable, "=")
		if message := forbiddenLoaderVariable(name); message != "" {
			errs = append(errs, fmt.Errorf("env: %w: %s", ErrUnsafe, message))
		}
	}
	user, _, _ := strings.Cut(i.User, ":")
	if user == "" || user == "root" || strings.Trim(user, "0") == "" {
		errs = append(errs, fmt.Errorf("user: %w: the image runs as root: add a line such as USER 65532:65532", ErrUnsafe))
	}
	if len(i.Volumes) > 0 {
		errs = append(errs, fmt.Errorf("volumes: %w: the image declares %s, which would be writable: remove its VOLUME lines",
			ErrUnsafe, strings.Join(i.Volumes, ", ")))
	}
	return errors.Join(errs...)
}
