package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const s3Secret = "a-secret-that-is-shown-nowhere"

// storage starts an S3-compatible storage with a bucket and sets the environment for it.
func storage(t *testing.T, objects files) *minio.Client { return storageIn(t, t.TempDir(), objects) }

// storageIn is storage whose objects are files in data.
func storageIn(t *testing.T, data string, objects files) *minio.Client {
	t.Helper()
	versions := t.TempDir()
	address := start(t, "versitygw", func(address string) []string {
		return []string{"--access", "tester", "--secret", s3Secret, "--port", address, "--quiet", "posix", "--sidecar", t.TempDir(),
			"--versioning-dir", versions, data}
	})
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4("tester", s3Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), "models", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for key, content := range objects {
		put(t, client, key, content)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://"+address)
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "tester")
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3Secret)
	return client
}

func put(t *testing.T, client *minio.Client, key, content string) {
	t.Helper()
	if _, err := client.PutObject(context.WithoutCancel(t.Context()), "models", key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestGetFromS3(t *testing.T) {
	model := string(addModel("data/w 1.bin"))
	storage(t, files{"a b/Best+.onnx": model, "a b/data/w 1.bin": externalData, "a b/config.json": "{}", "a b/other.txt": "x", "x/model.onnx": model,
		"several/a.onnx": model, "several/b.onnx": model, "x/data/w 1.bin": externalData, "labels.txt": "not in the prefix"})
	want := files{"model.onnx": model, "data/w 1.bin": externalData}
	withConfig := files{"model.onnx": model, "data/w 1.bin": externalData, "config.json": "{}"}
	for name, c := range map[string]struct {
		src  string
		want files
		err  string
	}{
		"an object":                     {"s3://models/a b/Best+.onnx", withConfig, ""},
		"a prefix":                      {"s3://models/a b/", withConfig, ""},
		"a prefix without a slash":      {"s3://models/x", want, ""},
		"several models":                {"s3://models/several/", nil, "name one of them: s3://models/several/a.onnx, s3://models/several/b.onnx"},
		"nothing there":                 {"s3://models/none", nil, `there is no object "none" and none below it`},
		"a bucket that does not exist":  {"s3://none/model.onnx", nil, "bucket does not exist"},
		"a version that does not exist": {"s3://models/x/model.onnx?versionId=01M0000000000000000000000", nil, "fetch s3://models/x/model.onnx?versionId"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, err := Get(t.Context(), parsed(t, c.src), Options{Dir: dir})
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
			if !strings.HasPrefix(r.Revision, "ETag ") || !strings.HasPrefix(r.Files[1].URL, "s3://models/") {
				t.Errorf("revision %q, files %+v", r.Revision, r.Files)
			}
		})
	}
}

// TestS3VersionsArePinned replaces an object of a bucket with versions: the recorded source still gets the old one.
func TestS3VersionsArePinned(t *testing.T) {
	first, second := string(addModel()), string(addModel("w.bin"))
	client := storage(t, nil)
	if err := client.EnableVersioning(t.Context(), "models"); err != nil {
		t.Fatal(err)
	}
	put(t, client, "m/model.onnx", first)
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "s3://models/m/"), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": first})
	if !strings.Contains(r.Files[0].URL, "?versionId=") || !strings.HasPrefix(r.Revision, "version ") {
		t.Errorf("not pinned: %q, %q", r.Files[0].URL, r.Revision)
	}
	put(t, client, "m/model.onnx", second)
	dir = t.TempDir()
	if r, err = Get(t.Context(), parsed(t, r.Files[0].URL), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": first})
}

func TestS3Resumes(t *testing.T) {
	model := string(addModel("w.bin"))
	storage(t, files{"m/model.onnx": model, "m/w.bin": string(weights)})
	cut := &interrupter{base: http.DefaultTransport, suffix: "/w.bin", after: 100_000}
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "s3://models/m/model.onnx"), Options{Dir: dir, Transport: cut})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": string(weights)})
	if len(cut.requests) != 2 || cut.requests[1].Get("Range") != "bytes=100000-" || cut.requests[1].Get("If-Match") == "" {
		t.Errorf("requests are %v", cut.requests)
	}
}

// TestS3Retries has the first request of each kind fail.
func TestS3Retries(t *testing.T) {
	model := string(addModel())
	storage(t, files{"m/model.onnx": model})
	failed := map[string]bool{}
	flaky := roundTripper(func(r *http.Request) (*http.Response, error) {
		if kind := r.Method + " " + r.URL.RequestURI(); !failed[kind] {
			failed[kind] = true
			return nil, errors.New("connection reset")
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "s3://models/m/model.onnx"), Options{Dir: dir, Transport: flaky})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model})
	if !failed["GET /models/m/model.onnx"] || !failed["HEAD /models/m/model.onnx"] {
		t.Errorf("requests are %v", failed)
	}
}

// TestS3ObjectThatChanges replaces an object, of a bucket without versions, while it is fetched.
func TestS3ObjectThatChanges(t *testing.T) {
	model := string(addModel("w.bin"))
	client := storage(t, files{"m/model.onnx": model, "m/w.bin": string(weights)})
	cut := &interrupter{base: http.DefaultTransport, suffix: "/w.bin", after: 100_000,
		cut: func() { put(t, client, "m/w.bin", string(bytes.Repeat([]byte("x"), len(weights)))) }}
	dir := t.TempDir()
	src := parsed(t, "s3://models/m/model.onnx")
	if _, err := Get(t.Context(), src, Options{Dir: dir, Transport: cut}); err == nil || !strings.Contains(err.Error(), "the object has changed") {
		t.Errorf("error is %v", err)
	}
	r, err := Get(t.Context(), src, Options{Dir: dir}) // the part is of the old object
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": strings.Repeat("x", len(weights))})
}

// TestS3ObjectsWithoutETags has files that were not put through the storage, which therefore have no ETags.
func TestS3ObjectsWithoutETags(t *testing.T) {
	model := string(addModel("w.bin"))
	data := t.TempDir()
	storageIn(t, data, files{"m/model.onnx": model})
	if err := os.WriteFile(filepath.Join(data, "models", "m", "w.bin"), weights, 0o644); err != nil {
		t.Fatal(err)
	}
	cut := &interrupter{base: http.DefaultTransport, suffix: "/w.bin", after: 100_000}
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "s3://models/m/model.onnx"), Options{Dir: dir, Transport: cut})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": string(weights)})
	if len(cut.requests) != 2 || cut.requests[1].Get("Range") != "" { // it may have changed
		t.Errorf("requests are %v", cut.requests)
	}
}

func TestS3Credentials(t *testing.T) {
	model := string(addModel("w.bin"))
	client := storage(t, files{"m/model.onnx": model, "m/w.bin": externalData, "m/config.json": "{}"})
	src := parsed(t, "s3://models/m/model.onnx")
	refused := func(want string) {
		t.Helper()
		_, err := Get(t.Context(), src, Options{Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), s3Secret) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another"+s3Secret)
	refused("signature")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	refused("must be set together")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	refused("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if it is not public")
	// Objects are public now but cannot be listed: external data is found by its name, and nothing that describes the model.
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::models/*"]}]}`
	if err := client.SetBucketPolicy(t.Context(), "models", policy); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Get(t.Context(), src, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": externalData})
	t.Setenv("AWS_ENDPOINT_URL_S3", "ftp://127.0.0.1")
	refused("AWS_ENDPOINT_URL_S3 is not an address")
}

// TestPullFromS3 has a definition whose source is an object.
func TestPullFromS3(t *testing.T) {
	storage(t, files{"m/1.onnx": string(weights), "m/w.bin": externalData})
	dir := write(t, files{"m/model.yaml": good + "source:\n  url: s3://models/m/1.onnx\n  sha256: " + hashOf(weights) + "\n  version: 3\n" +
		"  files:\n  - {path: data/w.bin, url: 's3://models/m/w.bin', sha256: " + hashOf([]byte(externalData)) + "}\n"})
	for range 2 {
		if err := pull(t, dir, nil, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		pulled(t, dir)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "m", "3", "data", "w.bin")); err != nil || string(data) != externalData {
		t.Errorf("external data is %q, %v", data, err)
	}
}
