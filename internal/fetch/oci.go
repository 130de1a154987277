package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"

	"fovea/internal/source"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// artifact is a manifest of an OCI registry.
type artifact struct {
	repo *remote.Repository
	src  Source // with the digest of the manifest
}

const maxManifest = 4 << 20 // bytes, as registries allow

// The annotations that name the file of a layer: of the OCI image specification and of the CNCF's ModelPack.
const titleAnnotation, modelPackAnnotation = ocispec.AnnotationTitle, "org.cncf.model.filepath"

// openOCI reads an artifact's manifest. Its files are layers with titles; those in layers that are archives are listed only if the
// model is not a separate layer, since that takes a download of them.
func (t *transfer) openOCI(ctx context.Context, src Source) (*opened, error) {
	repo, err := t.repository(ctx, src)
	if err != nil {
		return nil, err
	}
	a := &artifact{repo, src}
	manifest, err := a.manifest(ctx)
	if err != nil {
		return nil, err
	}
	s := &opened{revision: "manifest " + a.src.Digest, folder: src.Path}
	var archives []ocispec.Descriptor
	for _, layer := range manifest.Layers {
		title := layer.Annotations[titleAnnotation]
		if title == "" {
			title = layer.Annotations[modelPackAnnotation]
		}
		if isArchive(layer) {
			archives = append(archives, layer)
		} else if e, ok := a.entry(title); ok && strings.HasPrefix(string(layer.Digest), "sha256:") {
			e.size, e.sha256 = layer.Size, layer.Digest.Encoded()
			e.open = a.blob(layer)
			s.entries = append(s.entries, e)
		}
	}
	s.choose(src.Path)
	if s.exact == nil && len(archives) > 0 && !slices.ContainsFunc(s.entries, func(e entry) bool { return isModel(e.name) }) {
		s.expand = func(ctx context.Context) error {
			for _, layer := range archives {
				if err := a.archive(ctx, t, s, layer); err != nil {
					return err
				}
			}
			s.choose(src.Path)
			return nil
		}
	}
	return s, nil
}

// choose sets the file that the source names.
func (s *opened) choose(name string) {
	if i := slices.IndexFunc(s.entries, func(e entry) bool { return e.name == name }); i >= 0 {
		s.exact = &s.entries[i]
	}
}

// isArchive reports whether a layer is a tar archive of files: of a container image, of ModelPack, or of a folder that ORAS pushed.
func isArchive(layer ocispec.Descriptor) bool {
	return strings.HasSuffix(layer.MediaType, ".tar") || strings.Contains(layer.MediaType, ".tar+") ||
		strings.Contains(layer.MediaType, ".tar.") || layer.Annotations["io.deis.oras.content.unpack"] == "true"
}

// entry is a file of the artifact, unless its name is none that can be fetched.
func (a *artifact) entry(name string) (entry, bool) {
	at := Source{Scheme: source.OCI, Host: a.src.Host, Repo: a.src.Repo, Digest: a.src.Digest, Path: name}
	parsed, err := source.Parse(at.String())
	return entry{name: name, url: at.String()}, name != "" && err == nil && parsed == at
}

// repository connects to a registry, without encryption only on this machine.
func (t *transfer) repository(ctx context.Context, src Source) (*remote.Repository, error) {
	repo, err := remote.NewRepository(src.Host + "/" + src.Repo)
	if err != nil {
		return nil, &final{err}
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, &final{fmt.Errorf("docker's configuration: %w", err)}
	}
	client := &http.Client{Transport: encrypted{t.transport}, CheckRedirect: checkRedirect}
	repo.Client = &auth.Client{Client: client, Credential: credentials.Credential(store), Cache: auth.NewCache(),
		Header: http.Header{"User-Agent": {userAgent}}}
	if source.IsLoopback(src.Host) {
		repo.PlainHTTP, err = isPlain(ctx, client, src.Host)
	}
	return repo, err
}

// isPlain reports whether a registry does not encrypt.
func isPlain(ctx context.Context, client *http.Client, host string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		return false, &final{err}
	}
	res, err := client.Do(req)
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true, nil
	}
	if err != nil {
		return false, clean(err)
	}
	return false, res.Body.Close()
}

// encrypted refuses requests without encryption to other machines, such as to where a registry says that tokens are issued.
type encrypted struct{ base http.RoundTripper }

// RoundTrip sends a request.
func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !source.IsLoopback(r.URL.Host) {
		return nil, &final{fmt.Errorf("%s is not https", display(r.URL))}
	}
	return e.base.RoundTrip(r)
}

// manifest reads the manifest and notes its digest. Of an index it takes the manifest for this platform, or the first one.
func (a *artifact) manifest(ctx context.Context) (*ocispec.Manifest, error) {
	reference := a.src.Digest
	if reference == "" {
		reference = a.src.Revision
	}
	for range 3 { // an index may be in an index
		desc, body, err := a.repo.FetchReference(ctx, reference)
		if err != nil {
			return nil, a.failed(err)
		}
		data, err := readManifest(body, desc)
		if err != nil {
			return nil, a.failed(err)
		}
		var index ocispec.Index
		if err := json.Unmarshal(data, &index); err != nil {
			return nil, &final{fmt.Errorf("the manifest is not JSON: %w", err)}
		}
		if len(index.Manifests) == 0 {
			a.src.Digest = desc.Digest.String()
			manifest := &ocispec.Manifest{}
			if err := json.Unmarshal(data, manifest); err != nil {
				return nil, &final{fmt.Errorf("the manifest is not valid: %w", err)}
			}
			return manifest, nil
		}
		i := max(0, slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH
		}))
		reference = index.Manifests[i].Digest.String()
	}
	return nil, &final{errors.New("the manifest is an index of indexes")}
}

func readManifest(body io.ReadCloser, desc ocispec.Descriptor) ([]byte, error) {
	defer body.Close()
	if desc.Size > maxManifest {
		return nil, &final{fmt.Errorf("the manifest has %d bytes; the limit is %d", desc.Size, maxManifest)}
	}
	return orascontent.ReadAll(body, desc)
}

// failed describes an error of the registry, without the query of an address.
func (a *artifact) failed(err error) error {
	var response *errcode.ErrorResponse
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return &final{fmt.Errorf("%s wants a password; log in with docker login %[1]s", a.src.Host)}
	case errors.As(err, new(*url.Error)), errors.Is(err, io.ErrUnexpectedEOF):
		return clean(err)
	case !errors.As(err, &response):
		return &final{err}
	}
	at := *response.URL
	text := fmt.Errorf("%s returned %d %s", display(&at), response.StatusCode, http.StatusText(response.StatusCode))
	if len(response.Errors) > 0 {
		text = fmt.Errorf("%w: %w", text, response.Errors)
	}
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		text = fmt.Errorf("%w; if it is not public, log in with docker login %s", text, a.src.Host)
	}
	if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
		return text
	}
	return &final{text}
}

// blob opens a layer, which its digest identifies.
func (a *artifact) blob(layer ocispec.Descriptor) opener {
	scheme := "https"
	if a.repo.PlainHTTP {
		scheme = "http"
	}
	u := url.URL{Scheme: scheme, Host: a.repo.Reference.Host(), Path: "/v2/" + a.src.Repo + "/blobs/" + layer.Digest.String()}
	do := func(req *http.Request) (*http.Response, error) {
		res, err := a.repo.Client.Do(req)
		if err != nil {
			return nil, a.failed(err)
		}
		return res, nil
	}
	w := webFile{do: do, address: u.String()}
	return func(ctx context.Context, at int64, _ string) (*content, error) {
		ctx = auth.AppendRepositoryScope(ctx, a.repo.Reference, auth.ActionPull)
		return w.open(ctx, at, "")
	}
}
