package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"fovea/internal/source"
)

// hub is a repository of the Hugging Face Hub or a server with its API.
type hub struct {
	client   *http.Client
	endpoint string // without a slash at the end
	src      Source
	token    bool // one is sent
}

const (
	hubEndpoint = "https://huggingface.co"
	maxResponse = 32 << 20 // bytes of a list of files
)

// openHub resolves a revision to its commit and lists the files of the repository. A source with a commit and a file needs no list.
func (t *transfer) openHub(ctx context.Context, src Source) (*opened, error) {
	h := &hub{endpoint: strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"), src: src}
	if h.endpoint == "" {
		h.endpoint = hubEndpoint
	}
	base, err := url.Parse(h.endpoint)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, &final{errors.New("HF_ENDPOINT is not an https address without a user name")}
	}
	token := os.Getenv("HF_TOKEN")
	if token != "" && base.Scheme != "https" && !source.IsLoopback(base.Host) {
		return nil, &final{errors.New("HF_TOKEN is not sent without encryption; HF_ENDPOINT must begin with https://")}
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &final{errors.New("HF_TOKEN contains a character that tokens do not have, such as a line break")}
	}
	h.token, h.client = token != "", t.client(originOf(base), token)
	if t.single && src.IsCommit() && src.Path != "" {
		e := h.entry(src)
		return &opened{exact: &e}, nil
	}
	info, err := h.info(ctx)
	if err != nil {
		return nil, err
	}
	return h.opened(info), nil
}

// hubInfo is a response of /api/models/REPO/revision/REVISION?blobs=true.
type hubInfo struct {
	SHA      string `json:"sha"`
	Siblings []struct {
		Name string `json:"rfilename"`
		Size int64  `json:"size"`
		LFS  *struct {
			SHA256 string `json:"sha256"`
			Size   int64  `json:"size"`
		} `json:"lfs"`
	} `json:"siblings"`
}

var hubSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (h *hub) info(ctx context.Context) (*hubInfo, error) {
	address := h.endpoint + "/api/models/" + h.src.Repo
	if h.src.Revision != "" {
		address += "/revision/" + url.PathEscape(h.src.Revision)
	}
	w := webFile{do: h.client.Do, address: address + "?blobs=true", explain: h.explain}
	res, err := w.get(ctx, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, w.failed(res)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	info := &hubInfo{}
	switch {
	case len(data) > maxResponse:
		return nil, &final{errTooMany}
	case json.Unmarshal(data, info) != nil || !Source{Revision: info.SHA}.IsCommit():
		return nil, &final{fmt.Errorf("%s does not respond as the Hugging Face Hub does", display(res.Request.URL))}
	}
	return info, nil
}

// entry is a file at a commit.
func (h *hub) entry(at Source) entry {
	address := h.endpoint + "/" + at.Repo + "/resolve/" + at.Revision + "/" + escapePath(at.Path)
	return entry{name: at.Path, url: at.String(), open: webFile{do: h.client.Do, explain: h.explain, address: address}.open}
}

func (h *hub) opened(info *hubInfo) *opened {
	s := &opened{revision: "commit " + info.SHA, folder: h.src.Path}
	for _, file := range info.Siblings {
		at := Source{Scheme: source.HuggingFace, Repo: h.src.Repo, Revision: info.SHA, Path: file.Name}
		if parsed, err := source.Parse(at.String()); err != nil || parsed != at {
			continue // a name that cannot be fetched, such as one with ..
		}
		e := h.entry(at)
		e.size = file.Size
		if file.LFS != nil && hubSHA256.MatchString(file.LFS.SHA256) {
			e.size, e.sha256 = file.LFS.Size, file.LFS.SHA256
		}
		s.entries = append(s.entries, e)
		if file.Name == h.src.Path {
			s.exact = &e
		}
	}
	return s
}

func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// explain says what a refusal of the Hub means: it tells who has no access that there is no such repository.
func (h *hub) explain(res *http.Response) string {
	code := res.Header.Get("X-Error-Code")
	switch {
	case code == "GatedRepo":
		text := "its conditions must be accepted at " + h.endpoint + "/" + h.src.Repo
		if !h.token {
			text += ", and HF_TOKEN must hold a token of that account"
		}
		return text
	case code == "RevisionNotFound":
		return fmt.Sprintf("the repository has no revision %q", h.src.Revision)
	case code == "EntryNotFound":
		return "the repository has no such file at this revision"
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden || code == "RepoNotFound":
		if h.token {
			return "there is no such repository, or HF_TOKEN does not give access to it"
		}
		return "there is no such repository, or it needs a token in HF_TOKEN"
	}
	return ""
}
