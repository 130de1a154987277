package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// registryServer starts an OCI registry. With a password it admits the user "tester" only.
func registryServer(t *testing.T, password string) (host string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	return start(t, "registry", func(address string) []string {
		config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", dir, address)
		if password != "" {
			hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", filepath.Join(dir, "htpasswd"))
			if err := os.WriteFile(filepath.Join(dir, "htpasswd"), append([]byte("tester:"), hash...), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "config.yml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"serve", path}
	})
}

// layer is a layer to push.
type layer struct {
	mediaType   string
	annotations map[string]string
	content     string
}

func titled(name, content string) layer {
	return layer{"application/octet-stream", map[string]string{ocispec.AnnotationTitle: name}, content}
}

// push pushes an artifact and returns its descriptor.
func push(t *testing.T, host, name, tag, password string, layers ...layer) ocispec.Descriptor {
	t.Helper()
	repo, err := remote.NewRepository(host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Credential: auth.StaticCredential(host, auth.Credential{Username: "tester", Password: password})}
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := repo.Push(t.Context(), d, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example.model", Config: blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))}
	for _, l := range layers {
		d := blob(l.mediaType, []byte(l.content))
		d.Annotations = l.annotations
		manifest.Layers = append(manifest.Layers, d)
	}
	return tagged(t, repo, tag, ocispec.MediaTypeImageManifest, manifest)
}

func tagged(t *testing.T, repo *remote.Repository, tag, mediaType string, manifest any) ocispec.Descriptor {
	t.Helper()
	data := []byte(encoded(t, manifest))
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := repo.PushReference(t.Context(), d, bytes.NewReader(data), tag); err != nil {
		t.Fatal(err)
	}
	return d
}

// archived is a tar archive of files, in order; a name with " -> " is a link.
func archived(t *testing.T, compress bool, names []string, contents files) string {
	t.Helper()
	var out bytes.Buffer
	var to io.WriteCloser = nopCloser{&out}
	if compress {
		to = gzip.NewWriter(&out)
	}
	w := tar.NewWriter(to)
	for _, name := range names {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(contents[name])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			header = &tar.Header{Name: link, Linkname: target, Typeflag: tar.TypeSymlink}
		}
		err := w.WriteHeader(header)
		if err == nil {
			_, err = io.WriteString(w, contents[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestGetFromOCI(t *testing.T) {
	host := registryServer(t, "")
	model, plain := string(addModel("w.bin")), string(addModel())
	const tarGzip, tarPlain = ocispec.MediaTypeImageLayerGzip, "application/vnd.cncf.model.weight.v1.tar"
	named := func(name string) map[string]string { return map[string]string{"org.cncf.model.filepath": name} }
	image := archived(t, true, []string{"models/", "/models/model.onnx", "./models/w.bin", "models/labels.txt"},
		files{"/models/model.onnx": model, "./models/w.bin": externalData, "models/labels.txt": "a"})
	hostile := archived(t, false, []string{"../../evil.onnx", "model.onnx -> /etc/passwd", "/a/../../b.onnx", "real.onnx"},
		files{"../../evil.onnx": model, "/a/../../b.onnx": model, "real.onnx": plain})
	for name, c := range map[string]struct {
		layers []layer
		path   string // after the reference
		want   files
		err    string
	}{
		"files as ORAS pushes them": {[]layer{titled("best.onnx", model), titled("w.bin", externalData), titled("config.json", "{}"), titled("README.md", "x")},
			"", files{"model.onnx": model, "w.bin": externalData, "config.json": "{}"}, ""},
		"one of several": {[]layer{titled("a.onnx", model), titled("b.onnx", plain)}, "/b.onnx", files{"model.onnx": plain}, ""},
		"several":        {[]layer{titled("a.onnx", model), titled("b.onnx", plain)}, "", nil, "name one of them: oci://"},
		"ModelPack, with files as they are": {[]layer{{"application/vnd.cncf.model.weight.v1.raw", named("m.onnx"), plain}, {"application/vnd.cncf.model.weight.config.v1.raw",
			named("config.json"), "{}"}}, "", files{"model.onnx": plain, "config.json": "{}"}, ""},
		"ModelPack, with archives": {[]layer{{tarPlain, named("m.onnx"), archived(t, false, []string{"m.onnx"}, files{"m.onnx": plain})},
			{"application/vnd.cncf.model.weight.config.v1.raw", named("config.json"), "{}"}}, "", files{"model.onnx": plain, "config.json": "{}"}, ""},
		"a container image as KServe mounts": {[]layer{{tarGzip, nil, archived(t, true, []string{"bin/sh"}, files{"bin/sh": "#!"})}, {tarGzip, nil, image}}, "",
			files{"model.onnx": model, "w.bin": externalData, "labels.txt": "a"}, ""},
		"a folder in an image": {[]layer{{tarGzip, nil, image}}, "/models", files{"model.onnx": model, "w.bin": externalData, "labels.txt": "a"}, ""},
		"a file in an image":   {[]layer{{tarGzip, nil, image}}, "/models/model.onnx", files{"model.onnx": model, "w.bin": externalData, "labels.txt": "a"}, ""},
		"a later layer replaces a file": {[]layer{{tarGzip, nil, image}, {tarGzip, nil, archived(t, true, []string{"models/model.onnx"}, files{"models/model.onnx": plain})}},
			"", files{"model.onnx": plain, "labels.txt": "a"}, ""},
		"an archive that leaves its folder":   {[]layer{{tarPlain, nil, hostile}}, "", files{"model.onnx": plain}, ""},
		"titles that leave the folder":        {[]layer{titled("../evil.onnx", plain), titled("/etc/x.onnx", plain), titled("real.onnx", plain)}, "", files{"model.onnx": plain}, ""},
		"an archive that is damaged":          {[]layer{{tarGzip, nil, image[:len(image)-40]}}, "", nil, "unexpected EOF"},
		"an archive with another compression": {[]layer{{ocispec.MediaTypeImageLayerZstd, nil, "\x28\xb5\x2f\xfd1234"}}, "", nil, "is compressed with zstd; push it with gzip"},
		"no model":                            {[]layer{titled("README.md", "x")}, "", nil, "no .onnx file; export the model to ONNX. It has README.md"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := fmt.Sprintf("case/x%d", len(name))
			d := push(t, host, repo, "v1", "", c.layers...)
			dir := t.TempDir()
			r, err := Get(t.Context(), parsed(t, "oci://"+host+"/"+repo+":v1"+c.path), Options{Dir: dir})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got(t, dir, r, c.want)
			prefix := "oci://" + host + "/" + repo + "@" + d.Digest.String() + "/"
			if r.Revision != "manifest "+d.Digest.String() || !strings.HasPrefix(r.Files[0].URL, prefix) {
				t.Errorf("revision %q, URL %q", r.Revision, r.Files[0].URL)
			}
			again := t.TempDir() // from the recorded source
			if r, err = Get(t.Context(), parsed(t, r.Files[0].URL), Options{Dir: again}); err != nil || r.Files[0].SHA256 != hashOf([]byte(c.want["model.onnx"])) {
				t.Errorf("the recorded source: %v", err)
			}
		})
	}
}

func TestOCIArchiveWithoutEnd(t *testing.T) {
	host := registryServer(t, "")
	names := make([]string, maxArchived+1)
	for i := range names {
		names[i] = fmt.Sprint("f", i)
	}
	push(t, host, "m", "v1", "", layer{ocispec.MediaTypeImageLayerGzip, nil, archived(t, true, names, nil)})
	_, err := Get(t.Context(), parsed(t, "oci://"+host+"/m:v1"), Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "has more than 100000 files") {
		t.Errorf("error is %v", err)
	}
}

// TestOCITagsArePinned moves a tag: the recorded source still gets the old model.
func TestOCITagsArePinned(t *testing.T) {
	host := registryServer(t, "")
	first, second := string(addModel()), string(addModel("w.bin"))
	push(t, host, "m", "latest", "", titled("model.onnx", first))
	r, err := Get(t.Context(), parsed(t, "oci://"+host+"/m:latest"), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	push(t, host, "m", "latest", "", titled("model.onnx", second))
	dir := write(t, files{"m/model.yaml": good + "source: {url: '" + r.Files[0].URL + "', sha256: " + r.Files[0].SHA256 + "}\n"})
	if err := pull(t, dir, nil, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "m", "1", "model.onnx")); err != nil || string(data) != first {
		t.Errorf("pulled %d bytes, %v", len(data), err)
	}
}

func TestOCIIndexes(t *testing.T) {
	host := registryServer(t, "")
	repo, err := remote.NewRepository(host + "/m")
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	model := string(addModel())
	inner := push(t, host, "m", "inner", "", titled("model.onnx", model))
	inner.Platform = &ocispec.Platform{OS: "linux", Architecture: "other"}
	tagged(t, repo, "v1", ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{inner}})
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "oci://"+host+"/m:v1"), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model})
	if !strings.Contains(r.Files[0].URL, inner.Digest.String()) {
		t.Errorf("pinned to %s", r.Files[0].URL)
	}
}

// TestOCIResumes interrupts the download of a layer and of an archive.
func TestOCIResumes(t *testing.T) {
	host := registryServer(t, "")
	model := string(addModel("w.bin"))
	packed := archived(t, false, []string{"m.onnx", "w.bin"}, files{"m.onnx": model, "w.bin": string(weights)})
	for name, layers := range map[string][]layer{
		"a file":     {titled("m.onnx", model), titled("w.bin", string(weights))},
		"an archive": {{ocispec.MediaTypeImageLayer, nil, packed}},
	} {
		t.Run(name, func(t *testing.T) {
			push(t, host, "m", "v1", "", layers...)
			last := layers[len(layers)-1].content
			cut := &interrupter{base: http.DefaultTransport, suffix: digest.FromString(last).String(), after: 100_000}
			dir := t.TempDir()
			r, err := Get(t.Context(), parsed(t, "oci://"+host+"/m:v1"), Options{Dir: dir, Transport: cut})
			if err != nil {
				t.Fatal(err)
			}
			got(t, dir, r, files{"model.onnx": model, "w.bin": string(weights)})
			if len(cut.requests) != 2 || cut.requests[1].Get("Range") != "bytes=100000-" {
				t.Errorf("requests are %v", cut.requests)
			}
		})
	}
}

// altered is a transport that changes the bodies of responses from a path.
type altered struct{ suffix string }

// RoundTrip sends a request.
func (a altered) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, a.suffix) || res.StatusCode != http.StatusOK {
		return res, err
	}
	data, err := io.ReadAll(res.Body)
	if err != nil || len(data) == 0 {
		return res, err
	}
	data[len(data)/2] ^= 1
	res.Body = io.NopCloser(bytes.NewReader(data))
	return res, nil
}

func TestOCIContentThatDoesNotMatchItsDigest(t *testing.T) {
	host := registryServer(t, "")
	model := string(addModel())
	d := push(t, host, "m", "v1", "", titled("model.onnx", model))
	for name, c := range map[string]struct{ suffix, want string }{
		"a layer":    {digest.FromString(model).String(), "its SHA-256 is"},
		"a manifest": {d.Digest.String(), "mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Get(t.Context(), parsed(t, "oci://"+host+"/m@"+d.Digest.String()), Options{Dir: dir, Transport: altered{c.suffix}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
			if isFile(filepath.Join(dir, ModelFile)) {
				t.Error("a model was installed")
			}
		})
	}
}

func TestOCICredentials(t *testing.T) {
	const password = "a-password-that-is-shown-nowhere"
	host := registryServer(t, password)
	model := string(addModel())
	push(t, host, "m", "v1", password, titled("model.onnx", model))
	src := parsed(t, "oci://"+host+"/m:v1")
	login := func(password string) {
		config := encoded(t, map[string]any{"auths": map[string]any{host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("tester:" + password))}}})
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(){"without a login": func() {}, "with a wrong password": func() { login("x" + password) }} {
		t.Run(name, func(t *testing.T) {
			change()
			_, err := Get(t.Context(), src, Options{Dir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), "log in with docker login "+host) || strings.Contains(err.Error(), password) {
				t.Errorf("error is %v", err)
			}
		})
	}
	login(password)
	dir := t.TempDir()
	r, err := Get(t.Context(), src, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model})
}

// TestOCITokensNeedEncryption has a registry that tells clients to send the password to another machine without encryption.
func TestOCITokensNeedEncryption(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, host := range []string{"registry.example", "127.0.0.1:9"} {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "127.0.0.1:9" && r.URL.Scheme == "https" {
				return nil, http.ErrSchemeMismatch
			}
			if r.URL.Host != host {
				t.Errorf("a request to %s", r.URL)
			}
			return &http.Response{StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized", Request: r, Body: http.NoBody,
				Header: http.Header{"Www-Authenticate": {`Bearer realm="http://other.example/token",service="x"`}}}, nil
		})
		_, err := Get(t.Context(), parsed(t, "oci://"+host+"/m:v1"), Options{Dir: t.TempDir(), Transport: transport})
		if err == nil || !strings.Contains(err.Error(), "http://other.example/token") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestOCICancel(t *testing.T) {
	host := registryServer(t, "")
	push(t, host, "m", "v1", "", layer{ocispec.MediaTypeImageLayer, nil, archived(t, false, []string{"m.onnx"}, files{"m.onnx": string(weights)})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Get(ctx, parsed(t, "oci://"+host+"/m:v1"), Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
