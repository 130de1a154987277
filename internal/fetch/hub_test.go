package fetch

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const hubToken = "hf_a_token_that_is_shown_nowhere"

// hubServer behaves as the Hugging Face Hub does for models: its API resolves revisions and lists files, large files are redirected to
// another host with a presigned address, and refusals carry X-Error-Code. TestHubServer compares it with what huggingface_hub expects.
type hubServer struct {
	commits map[string]files  // by commit
	refs    map[string]string // commit of a branch
	gated   bool              // needs hubToken
	large   int               // from so many bytes on a file is redirected

	cdn *httptest.Server

	mu       sync.Mutex
	requests []string
}

func (h *hubServer) start(t *testing.T) *httptest.Server {
	t.Helper()
	h.cdn = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to another host")
		}
		h.log("cdn " + r.URL.Path + " " + r.Header.Get("Range"))
		commit, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.URL.Query().Get("Signature") != "presigned" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("ETag", `"`+hashOf([]byte(h.commits[commit][name]))+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(h.commits[commit][name]))
	}))
	t.Cleanup(h.cdn.Close)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Setenv("HF_ENDPOINT", s.URL+"/")
	t.Setenv("HF_TOKEN", "")
	return s
}

func (h *hubServer) log(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, line)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", code)
	w.WriteHeader(status)
}

// ServeHTTP serves /api/models/REPO[/revision/REVISION] and /REPO/resolve/REVISION/PATH.
func (h *hubServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.log(r.URL.EscapedPath() + strings.TrimSuffix(" "+r.Header.Get("Range"), " "))
	switch r.Header.Get("Authorization") {
	case "":
		if h.gated {
			refuse(w, http.StatusUnauthorized, "GatedRepo")
			return
		}
	case "Bearer " + hubToken:
	default:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := r.URL.EscapedPath()
	api := strings.HasPrefix(path, "/api/models/")
	parts := strings.SplitN(strings.TrimPrefix(path, "/api/models"), "/", 6) // "", owner, repo, resolve, revision, path
	switch name := parts[1] + "/" + parts[2]; name {
	case "owner/old": // a repository that was renamed
		http.Redirect(w, r, strings.Replace(path, "/old", "/repo", 1)+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
		return
	case "owner/repo":
	default:
		refuse(w, http.StatusUnauthorized, "RepoNotFound") // as without access
		return
	}
	commit := h.refs["main"]
	if len(parts) > 4 {
		revision, _ := url.PathUnescape(parts[4])
		if commit = revision; h.commits[commit] == nil {
			commit = h.refs[revision]
		}
	}
	content := h.commits[commit]
	switch {
	case content == nil:
		refuse(w, http.StatusNotFound, "RevisionNotFound")
	case api:
		h.list(w, r, commit)
	default:
		name, _ := url.PathUnescape(parts[5])
		h.resolve(w, r, commit, name)
	}
}

func (h *hubServer) list(w http.ResponseWriter, r *http.Request, commit string) {
	siblings := []map[string]any{}
	for _, name := range sortedKeys(h.commits[commit]) {
		content := h.commits[commit][name]
		file := map[string]any{"rfilename": name}
		if r.URL.Query().Has("blobs") {
			file["size"] = len(content)
			file["blobId"] = gitBlob(content)
			if len(content) >= h.large {
				file["lfs"] = map[string]any{"sha256": hashOf([]byte(content)), "size": len(content), "pointerSize": 130}
			}
		}
		siblings = append(siblings, file)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"id": "owner/repo", "modelId": "owner/repo", "sha": commit, "siblings": siblings})
}

func (h *hubServer) resolve(w http.ResponseWriter, r *http.Request, commit, name string) {
	content, ok := h.commits[commit][name]
	w.Header().Set("X-Repo-Commit", commit)
	if !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	}
	if len(content) >= h.large {
		w.Header().Set("X-Linked-ETag", `"`+hashOf([]byte(content))+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
		http.Redirect(w, r, h.cdn.URL+"/"+commit+"/"+escapePath(name)+"?Signature=presigned", http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+gitBlob(content)+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

// gitBlob is the identifier that git gives to a file.
func gitBlob(content string) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
}

var commitA, commitB = strings.Repeat("a", 40), strings.Repeat("b", 40)

func TestGetFromTheHub(t *testing.T) {
	model, plain := string(addModel("model.onnx_data")), string(addModel())
	h := &hubServer{large: 100, refs: map[string]string{"main": commitA, "feature/x": commitB, "refs/pr/1": commitB}, commits: map[string]files{
		commitA: {"onnx/model.onnx": model, "onnx/model.onnx_data": string(weights), "onnx/model_int8.onnx": "x", "config.json": "{}",
			"preprocessor_config.json": `{"size": 1}`, "README.md": "x", "../evil.onnx": "x", "sub dir/50%.onnx": plain},
		commitB: {"model.onnx": plain, "a.onnx": plain, "x/b.onnx": plain, "x/c.onnx": plain},
	}}
	h.start(t)
	first := files{"model.onnx": model, "model.onnx_data": string(weights), "config.json": "{}", "preprocessor_config.json": `{"size": 1}`}
	second := files{"model.onnx": plain}
	for name, c := range map[string]struct {
		src, commit string
		want        files
		err         string
	}{
		"the main branch":         {"hf://owner/repo", commitA, first, ""},
		"an address of the Hub":   {"https://huggingface.co/owner/repo/tree/main", commitA, first, ""},
		"a repository that moved": {"hf://owner/old", commitA, first, ""},
		"a commit and a file":     {"hf://owner/repo@" + commitA + "/onnx/model.onnx", commitA, first, ""},
		"a folder":                {"hf://owner/repo/onnx", commitA, first, ""},
		"a file with odd characters": {"https://huggingface.co/owner/repo/blob/main/sub%20dir/50%25.onnx", commitA, files{"model.onnx": plain, "config.json": "{}",
			"preprocessor_config.json": `{"size": 1}`}, ""},
		"a branch with a slash":          {"hf://owner/repo@feature%2Fx", commitB, second, ""},
		"a pull request":                 {"hf://owner/repo@refs/pr/1/a.onnx", commitB, second, ""},
		"several models":                 {"hf://owner/repo@feature%2Fx/x", "", nil, "name one of them: hf://owner/repo@feature%2Fx/x/b.onnx, hf://owner/repo@feature%2Fx/x/c.onnx"},
		"a revision that is not there":   {"hf://owner/repo@v9", "", nil, `the repository has no revision "v9"`},
		"a repository that is not there": {"hf://owner/none", "", nil, "there is no such repository, or it needs a token in HF_TOKEN"},
		"a file that is not there":       {"hf://owner/repo/none.onnx", "", nil, "it has no none.onnx; it has onnx/model.onnx, onnx/model_int8.onnx, sub dir/50%.onnx, README.md, config.json"},
		"a name outside the folder":      {"hf://owner/repo/evil.onnx", "", nil, "it has no evil.onnx; it has"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, err := Get(t.Context(), parsed(t, c.src), Options{Dir: dir})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "presigned") {
					t.Errorf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got(t, dir, r, c.want)
			if r.Revision != "commit "+c.commit || !strings.Contains(r.Files[0].URL, "@"+c.commit+"/") {
				t.Errorf("revision %q, URL %q", r.Revision, r.Files[0].URL)
			}
		})
	}
}

// TestHubRevisionsArePinned moves the branch while a model is fetched: all files are of the commit that it was at first.
func TestHubRevisionsArePinned(t *testing.T) {
	model := string(addModel("w.bin"))
	h := &hubServer{large: 100, refs: map[string]string{"main": commitA}, commits: map[string]files{
		commitA: {"model.onnx": model, "w.bin": externalData, "config.json": `"a"`},
		commitB: {"model.onnx": model, "w.bin": "other bytes!", "config.json": `"b"`},
	}}
	h.start(t)
	moves := roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		h.refs["main"] = commitB
		return res, err
	})
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "hf://owner/repo"), Options{Dir: dir, Transport: moves})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": externalData, "config.json": `"a"`})
}

func TestHubResumesThroughARedirect(t *testing.T) {
	model := string(addModel("w.bin"))
	h := &hubServer{large: 100_000, refs: map[string]string{"main": commitA}, commits: map[string]files{commitA: {"model.onnx": model, "w.bin": string(weights)}}}
	h.start(t)
	cut := &interrupter{base: http.DefaultTransport, suffix: "/" + commitA + "/w.bin", after: 100_000}
	redirectAndCut := roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, "/resolve/") {
			return http.DefaultTransport.RoundTrip(r)
		}
		return cut.RoundTrip(r)
	})
	dir := t.TempDir()
	r, err := Get(t.Context(), parsed(t, "hf://owner/repo"), Options{Dir: dir, Transport: redirectAndCut})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "w.bin": string(weights)})
	if !slices.Contains(h.requests, "cdn /"+commitA+"/w.bin bytes=100000-") {
		t.Errorf("requests are %q", h.requests)
	}
}

// TestHubThatIsBusy has every address refuse once.
func TestHubThatIsBusy(t *testing.T) {
	model := string(addModel())
	h := &hubServer{large: 1000, refs: map[string]string{"main": commitA}, commits: map[string]files{commitA: {"model.onnx": model}}}
	h.start(t)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusBadGateway} {
		requests := map[string]int{}
		busy := roundTripper(func(r *http.Request) (*http.Response, error) {
			if requests[r.URL.Path]++; requests[r.URL.Path] == 1 {
				return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: r, Body: http.NoBody}, nil
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		dir := t.TempDir()
		r, err := Get(t.Context(), parsed(t, "hf://owner/repo"), Options{Dir: dir, Transport: busy})
		if err != nil {
			t.Fatal(err)
		}
		got(t, dir, r, files{"model.onnx": model})
		if len(requests) != 2 {
			t.Errorf("requests are %v", requests)
		}
	}
}

// TestHubFileThatDoesNotMatch has a server whose list and content differ.
func TestHubFileThatDoesNotMatch(t *testing.T) {
	h := &hubServer{large: 1, refs: map[string]string{"main": commitA}, commits: map[string]files{commitA: {"model.onnx": string(addModel())}}}
	h.start(t)
	_, err := Get(t.Context(), parsed(t, "hf://owner/repo"), Options{Dir: t.TempDir(), Transport: altered{"model.onnx"}})
	if err == nil || !strings.Contains(err.Error(), "its SHA-256 is") {
		t.Errorf("error is %v", err)
	}
}

func TestHubToken(t *testing.T) {
	model := string(addModel())
	h := &hubServer{gated: true, large: 10, refs: map[string]string{"main": commitA}, commits: map[string]files{commitA: {"model.onnx": model, "config.json": "{}"}}}
	s := h.start(t)
	src := parsed(t, "hf://owner/repo")
	refused := func(want string) {
		t.Helper()
		_, err := Get(t.Context(), src, Options{Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), hubToken) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	refused("its conditions must be accepted at " + s.URL + "/owner/repo, and HF_TOKEN must hold a token")
	t.Setenv("HF_TOKEN", hubToken+"x")
	refused("there is no such repository, or HF_TOKEN does not give access to it")
	t.Setenv("HF_TOKEN", hubToken)
	dir := t.TempDir()
	r, err := Get(t.Context(), src, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got(t, dir, r, files{"model.onnx": model, "config.json": "{}"})
	t.Setenv("HF_ENDPOINT", "http://hub.example")
	refused("HF_TOKEN is not sent without encryption")
	t.Setenv("HF_ENDPOINT", "https://user:"+hubToken+"@hub.example")
	refused("HF_ENDPOINT is not an https address")
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_TOKEN", "line\nbreak")
	refused("HF_TOKEN contains")
}

// TestPullFromTheHub has a definition that is pinned to a commit: nothing but the files is requested.
func TestPullFromTheHub(t *testing.T) {
	h := &hubServer{large: 1, commits: map[string]files{commitA: {"onnx/model.onnx": string(weights), "onnx/w.bin": externalData}}}
	h.start(t)
	url := "hf://owner/repo@" + commitA + "/onnx/"
	dir := write(t, files{"m/model.yaml": good + "source:\n  url: " + url + "model.onnx\n  sha256: " + hashOf(weights) + "\n  version: 3\n" +
		"  files:\n  - {path: w.bin, url: '" + url + "w.bin', sha256: " + hashOf([]byte(externalData)) + ", size: 12}\n"})
	if err := pull(t, dir, nil, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	pulled(t, dir)
	if len(h.requests) != 4 || slices.ContainsFunc(h.requests, func(r string) bool { return strings.HasPrefix(r, "/api") }) {
		t.Errorf("requests are %q", h.requests)
	}
}

// TestHubServer has huggingface_hub download from the test's server. It needs a Python with that package.
func TestHubServer(t *testing.T) {
	python := os.Getenv("FOVEA_TEST_HUGGINGFACE_HUB")
	if python == "" {
		t.Skip("FOVEA_TEST_HUGGINGFACE_HUB is not set to a Python with huggingface_hub")
	}
	content := files{"onnx/model.onnx": string(weights), "config.json": "{}"}
	h := &hubServer{gated: true, large: 100, refs: map[string]string{"main": commitA}, commits: map[string]files{commitA: content}}
	s := h.start(t)
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), python, "-c", `
import sys
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
token, folder = sys.argv[1:]
for name in "onnx/model.onnx", "config.json":
    print(HfApi(token=token).hf_hub_download("owner/repo", name, local_dir=folder))
info = HfApi(token=token).model_info("owner/repo", files_metadata=True)
print(info.sha, [(f.rfilename, f.size, f.lfs and f.lfs.sha256) for f in info.siblings])
for error, call in [
    (GatedRepoError, lambda: HfApi(token=False).model_info("owner/repo")),
    (RepositoryNotFoundError, lambda: HfApi(token=token).model_info("owner/none")),
    (RevisionNotFoundError, lambda: HfApi(token=token).model_info("owner/repo", revision="v9")),
    (EntryNotFoundError, lambda: HfApi(token=token).hf_hub_download("owner/repo", "none.onnx")),
]:
    try:
        call()
    except error as e:
        print("raised", type(e).__name__)
    else:
        sys.exit(f"{error} was not raised")
`, hubToken, dir)
	c.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HUB_DISABLE_XET=1", "HF_HOME="+t.TempDir(), "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_TOKEN=")
	out, err := c.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Fatal(err)
	}
	for name, want := range content {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != want {
			t.Errorf("%s has %d bytes, %v", name, len(data), err)
		}
	}
}
