package source

import (
	"strings"
	"testing"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

func long(n int) string { return strings.Repeat("a", n) }

var digest = "sha256:" + strings.Repeat("ab", 32)

func TestParse(t *testing.T) {
	for text, want := range map[string]Source{
		"best.onnx":                                            {Scheme: Local, Path: "best.onnx"},
		"../models/yolo":                                       {Scheme: Local, Path: "../models/yolo"},
		"file:///srv/best.onnx":                                {Scheme: Local, Path: "/srv/best.onnx"},
		"https://example.com/a/best.onnx":                      {Scheme: HTTPS, Address: "https://example.com/a/best.onnx"},
		"HTTPS://example.com:8443/f?id=5":                      {Scheme: HTTPS, Address: "https://example.com:8443/f?id=5"},
		"http://127.0.0.1:80/m.onnx":                           {Scheme: HTTPS, Address: "http://127.0.0.1:80/m.onnx"},
		"http://[::1]:80/m.onnx":                               {Scheme: HTTPS, Address: "http://[::1]:80/m.onnx"},
		"http://localhost/m.onnx":                              {Scheme: HTTPS, Address: "http://localhost/m.onnx"},
		"hf://owner/repo":                                      {Scheme: HuggingFace, Repo: "owner/repo"},
		"hf://owner/repo/":                                     {Scheme: HuggingFace, Repo: "owner/repo"},
		"hf://owner/repo/onnx/model.onnx":                      {Scheme: HuggingFace, Repo: "owner/repo", Path: "onnx/model.onnx"},
		"hf://owner/repo@v1.0":                                 {Scheme: HuggingFace, Repo: "owner/repo", Revision: "v1.0"},
		"hf://o/r@" + commit + "/model.onnx":                   {Scheme: HuggingFace, Repo: "o/r", Revision: commit, Path: "model.onnx"},
		"hf://o/r@feature%2Fx/m.onnx":                          {Scheme: HuggingFace, Repo: "o/r", Revision: "feature/x", Path: "m.onnx"},
		"hf://o/r@refs/pr/12/m.onnx":                           {Scheme: HuggingFace, Repo: "o/r", Revision: "refs/pr/12", Path: "m.onnx"},
		"hf://o/r@refs/pr/12":                                  {Scheme: HuggingFace, Repo: "o/r", Revision: "refs/pr/12"},
		"hf://o/r@refs/convert/onnx/":                          {Scheme: HuggingFace, Repo: "o/r", Revision: "refs/convert/onnx"},
		"hf://o/r@main/onnx/":                                  {Scheme: HuggingFace, Repo: "o/r", Revision: "main", Path: "onnx"},
		"oci://r.example.com/a:v1/models/":                     {Scheme: OCI, Host: "r.example.com", Repo: "a", Revision: "v1", Path: "models"},
		"s3://bucket/" + long(1024):                            {Scheme: S3, Repo: "bucket", Path: long(1024)},
		long(4096):                                             {Scheme: Local, Path: long(4096)},
		"hf://o/r@refs%2Fpr%2F12":                              {Scheme: HuggingFace, Repo: "o/r", Revision: "refs/pr/12"},
		"https://huggingface.co/o/r":                           {Scheme: HuggingFace, Repo: "o/r"},
		"https://hf.co/o/r/":                                   {Scheme: HuggingFace, Repo: "o/r"},
		"https://huggingface.co/o/r/tree/dev":                  {Scheme: HuggingFace, Repo: "o/r", Revision: "dev"},
		"https://huggingface.co/o/r/blob/main/onnx/a%20b.onnx": {Scheme: HuggingFace, Repo: "o/r", Revision: "main", Path: "onnx/a b.onnx"},
		"https://huggingface.co/o/r/resolve/main/model.onnx?download=true": {Scheme: HuggingFace, Repo: "o/r", Revision: "main", Path: "model.onnx"},
		"https://huggingface.co/o/r/resolve/refs%2Fpr%2F3/model.onnx":      {Scheme: HuggingFace, Repo: "o/r", Revision: "refs/pr/3", Path: "model.onnx"},
		"s3://bucket/key.onnx":                                                {Scheme: S3, Repo: "bucket", Path: "key.onnx"},
		"s3://bucket/a/b/":                                                    {Scheme: S3, Repo: "bucket", Path: "a/b/"},
		"s3://bucket":                                                         {Scheme: S3, Repo: "bucket"},
		"s3://bucket/what?.onnx":                                              {Scheme: S3, Repo: "bucket", Path: "what?.onnx"},
		"s3://bucket/a 100%.onnx?versionId=x_.1":                              {Scheme: S3, Repo: "bucket", Path: "a 100%.onnx", Revision: "x_.1"},
		"oci://ghcr.io/owner/model:v1":                                        {Scheme: OCI, Host: "ghcr.io", Repo: "owner/model", Revision: "v1"},
		"oci://127.0.0.1:5000/m@" + digest:                                    {Scheme: OCI, Host: "127.0.0.1:5000", Repo: "m", Digest: digest},
		"oci://localhost/m:a/dir/model.onnx":                                  {Scheme: OCI, Host: "localhost", Repo: "m", Revision: "a", Path: "dir/model.onnx"},
		"oci://r.example.com/a/b:v1@" + digest + "/models/model.onnx":         {Scheme: OCI, Host: "r.example.com", Repo: "a/b", Revision: "v1", Digest: digest, Path: "models/model.onnx"},
		"oci://[::1]:5000/m:v1":                                               {Scheme: OCI, Host: "[::1]:5000", Repo: "m", Revision: "v1"},
		"https://example.com/huggingface.co/o/r":                              {Scheme: HTTPS, Address: "https://example.com/huggingface.co/o/r"},
		"https://huggingface.co.example.com/o/r":                              {Scheme: HTTPS, Address: "https://huggingface.co.example.com/o/r"},
		"https://huggingface.co/o/r/resolve/" + commit + "/folder/model.onnx": {Scheme: HuggingFace, Repo: "o/r", Revision: commit, Path: "folder/model.onnx"},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := Parse(text)
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			if again, err := Parse(got.String()); err != nil || again != want {
				t.Errorf("%q parses as %+v, %v", got.String(), again, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                           "is empty; allowed: https://",
		"gs://bucket/model.onnx":                     "gs:// is not supported; allowed: https://",
		"docker://alpine":                            "allowed: https://HOST/PATH/model.onnx, hf://",
		"1://x":                                      "known scheme",
		"a\nb":                                       "cannot be printed",
		"https://" + strings.Repeat("a", 5000):       "the limit is 4096",
		"http://example.com/model.onnx":              "want https; http is allowed to this machine only",
		"http://127.0.0.1.example.com/m.onnx":        "want https",
		"http://10.0.0.1/m.onnx":                     "want https",
		"https://user:secret@example.com/m":          "must not contain a user name",
		"https://secret@example.com/m":               "must not contain a user name",
		"https:///m.onnx":                            "has no host",
		"https://example.com/m.onnx#x":               "fragment",
		"https://example.com/%zz?token=secret":       "is not a valid address",
		"hf://owner":                                 "want hf://OWNER/REPO",
		"hf://owner/":                                "want hf://OWNER/REPO",
		"hf://../repo":                               "want hf://OWNER/REPO",
		"hf://datasets/a/b":                          "is not a model",
		"hf://owner/repo@":                           "revision after @",
		"hf://owner/repo@..%2Fx":                     "revision after @",
		"hf://owner/repo/../../etc":                  "must not have empty, . or .. parts",
		"hf://owner/repo/a//b":                       "must not have empty, . or .. parts",
		"https://huggingface.co/owner":               "want https://huggingface.co/OWNER/REPO",
		"https://huggingface.co/datasets/a/b":        "want https://huggingface.co/OWNER/REPO",
		"https://huggingface.co/o/r/settings":        "want https://huggingface.co/OWNER/REPO",
		"https://huggingface.co/o/r/blob":            "want https://huggingface.co/OWNER/REPO",
		"https://huggingface.co/o/r/blob/..":         "revision after @",
		"https://huggingface.co/o/r/blob/a/%2E%2E/x": "must not have empty, . or .. parts",
		"s3://":                               "want s3://BUCKET/KEY",
		"s3://b_/../key":                      "must not have empty, . or .. parts",
		"s3://bucket//key":                    "must not have empty, . or .. parts",
		"s3://bucket/a/?versionId=1":          "needs the key",
		"oci://registry/repo:v1":              "is not the host of a registry",
		"oci://ghcr.io/Owner/repo:v1":         "want oci://",
		"oci://ghcr.io/owner/repo":            "has no tag and no digest",
		"oci://ghcr.io/owner/repo@sha256:abc": "invalid tag or digest",
		"oci://ghcr.io/owner/repo:v1/../x":    "must not have empty, . or .. parts",
		"oci://ghcr.io/a..b:v1":               "invalid name",
		long(4097):                            "the limit is 4096",
		"s3://bucket/" + long(1025):           "longer than 1024 bytes",
		"://x":                                "known scheme",
		"https://huggingface.co/spaces/a":     "want https://huggingface.co/OWNER/REPO",
		"https://huggingface.co/api/models":   "want https://huggingface.co/OWNER/REPO",
		"https://@example.com/":               "must not contain a user name",
		"file://host/x":                       "absolute path",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Parse(text)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

func TestRecordedDropsQueriesThatGrantAccess(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example/m.onnx?X-Amz-Algorithm=x&X-Amz-Signature=secret": "https://a.example/m.onnx",
		"https://a.example/m.onnx?sv=1&sig=secret":                          "https://a.example/m.onnx",
		"https://a.example/m.onnx?access_token=secret&a=b":                  "https://a.example/m.onnx",
		"https://a.example/download?id=5&alt=media":                         "https://a.example/download?id=5&alt=media",
		"hf://o/r@main/m.onnx":                                              "hf://o/r@main/m.onnx",
	} {
		s, err := Parse(text)
		if got := s.Recorded(); err != nil || got != want {
			t.Errorf("%s: recorded as %q, %v", text, got, err)
		}
		if strings.Contains(s.Display(), "secret") {
			t.Errorf("%s is displayed as %q", text, s.Display())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"best.onnx", "https://a/b?c", "hf://o/r@refs/pr/1/x", "s3://bkt/k?versionId=1", "oci://h:1/n:t@" + digest + "/p",
		"https://huggingface.co/o/r/blob/main/x", "file:///a://b", "https://u:p@h/x", "https://h/" + strings.Repeat("é", 2000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again != s {
			t.Fatalf("%q is %+v, which is written as %q, which is %+v, %v", text, s, s.String(), again, err)
		}
		if s.Scheme != Local && s.Scheme != HTTPS {
			for part := range strings.SplitSeq(s.Path, "/") {
				if part == ".." || part == "." {
					t.Fatalf("%q has the path %q", text, s.Path)
				}
			}
		}
		_, _ = s.Display(), s.Recorded()
	})
}
