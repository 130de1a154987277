package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"fovea/internal/source"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket is a bucket of an S3-compatible storage.
type bucket struct {
	client *minio.Core
	src    Source
}

// openS3 finds an object, or lists those below a prefix. The environment has the credentials, as for AWS's own programs; without
// them requests are anonymous.
func (t *transfer) openS3(ctx context.Context, src Source) (*opened, error) {
	client, err := s3Client(t.transport)
	if err != nil {
		return nil, &final{err}
	}
	b := &bucket{client, src}
	s := &opened{}
	prefix, recursive := src.Path, true
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		e, err := b.entry(src.Path).pin(ctx)
		switch {
		case err == nil:
			s.exact = &e
			if t.single {
				return s, nil
			}
			s.sibling = func(name string) entry { return b.entry(path.Join(path.Dir(src.Path), name)) }
			prefix, recursive = strings.TrimPrefix(path.Dir(src.Path)+"/", "./"), false
		case src.Revision == "" && statusOf(err) == http.StatusNotFound:
			prefix += "/"
		default:
			return nil, err
		}
	}
	s.folder = strings.TrimSuffix(prefix, "/")
	err = b.list(ctx, s, prefix, recursive)
	switch {
	case err != nil && s.exact != nil && statusOf(err) == http.StatusForbidden: // what may be read may not be listed
		s.entries = nil
	case err != nil:
		return nil, err
	case s.exact == nil && len(s.entries) == 0:
		return nil, &final{fmt.Errorf("there is no object %q and none below it", src.Path)}
	}
	return s, nil
}

// s3Client reads the environment.
func s3Client(transport http.RoundTripper) (*minio.Core, error) {
	region := cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	variable := "AWS_ENDPOINT_URL_S3"
	address := os.Getenv(variable)
	if address == "" {
		variable = "AWS_ENDPOINT_URL"
		address = os.Getenv(variable)
	}
	if address == "" {
		address = "https://s3.amazonaws.com"
		if region != "" {
			address = "https://s3." + region + ".amazonaws.com"
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%s is not an address such as https://s3.example.com", variable)
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if (id == "") != (secret == "") {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together")
	}
	return minio.NewCore(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(id, secret, os.Getenv("AWS_SESSION_TOKEN")),
		Secure: u.Scheme == "https", Region: region, Transport: transport, MaxRetries: 1, // retry is ours
	})
}

// list adds the objects below a prefix.
func (b *bucket) list(ctx context.Context, s *opened, prefix string, recursive bool) error {
	ctx, cancel := context.WithCancel(ctx) // ends the listing
	defer cancel()
	for object := range b.client.ListObjectsIter(ctx, b.src.Repo, minio.ListObjectsOptions{Prefix: prefix, Recursive: recursive}) {
		if object.Err != nil {
			return b.failed(object.Err)
		}
		if len(s.entries) >= maxEntries {
			return &final{errTooMany}
		}
		at := Source{Scheme: source.S3, Repo: b.src.Repo, Path: object.Key}
		if parsed, err := source.Parse(at.String()); err == nil && parsed == at && !strings.HasSuffix(object.Key, "/") {
			s.entries = append(s.entries, b.entry(object.Key))
		}
	}
	return nil
}

// entry is an object, to be completed with its size, ETag and version.
func (b *bucket) entry(key string) entry {
	e := entry{name: key}
	version := ""
	if key == b.src.Path {
		version = b.src.Revision
	}
	e.pin = func(ctx context.Context) (entry, error) {
		info, err := b.client.StatObject(ctx, b.src.Repo, key, minio.StatObjectOptions{VersionID: version})
		if err != nil {
			return e, b.failed(err)
		}
		at := Source{Scheme: source.S3, Repo: b.src.Repo, Path: key}
		done := entry{name: key, size: info.Size, tag: info.ETag}
		if info.ETag != "" {
			done.revision = "ETag " + info.ETag
		}
		if info.VersionID != "" && info.VersionID != "null" { // of a bucket without versions
			at.Revision, done.revision = info.VersionID, "version "+info.VersionID
		}
		done.url, done.open = at.String(), b.opener(key, at.Revision, info.ETag)
		return done, nil
	}
	return e
}

// opener opens an object as long as it is the one that was found.
func (b *bucket) opener(key, version, etag string) opener {
	return func(ctx context.Context, at int64, _ string) (*content, error) {
		o := minio.GetObjectOptions{VersionID: version}
		var err error
		if etag != "" { // some storages have objects without one, such as files that were put under them
			err = o.SetMatchETag(etag)
		}
		if err == nil && at > 0 {
			err = o.SetRange(at, 0)
		}
		if err != nil {
			return nil, &final{err}
		}
		body, _, header, err := b.client.GetObject(ctx, b.src.Repo, key, o)
		if err != nil {
			return nil, b.failed(err)
		}
		return s3Content(body, header, etag)
	}
}

func s3Content(body io.ReadCloser, header http.Header, etag string) (*content, error) {
	c := &content{ReadCloser: body, size: -1, tag: etag}
	text := header.Get("Content-Range")
	if text == "" {
		return c, nil
	}
	var ok bool
	if c.at, c.size, ok = parseRange(text); !ok {
		_ = body.Close()
		return nil, &restartError{fmt.Errorf("the server returned the range %q; starting over", text)}
	}
	return c, nil
}

// statusOf returns the HTTP status of an error of the storage, or 0.
func statusOf(err error) int {
	var response minio.ErrorResponse
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}

// failed describes an error of the storage.
func (b *bucket) failed(err error) error {
	switch status := statusOf(err); {
	case status == 0:
		return clean(err)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return err
	case status == http.StatusPreconditionFailed:
		return &final{errors.New("the object has changed since it was found; fetch it again")}
	case status == http.StatusForbidden && os.Getenv("AWS_ACCESS_KEY_ID") == "":
		return &final{fmt.Errorf("%w; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if it is not public", err)}
	}
	return &final{err}
}
