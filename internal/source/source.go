// Package source parses the addresses of models: where weights and the files next to them are fetched from. It does no I/O.
package source

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// Scheme is the kind of a source.
type Scheme string

// The kinds of sources.
const (
	HTTPS       Scheme = "https" // a file on a web server; http on this machine
	HuggingFace Scheme = "hf"    // a model repository of the Hugging Face Hub
	S3          Scheme = "s3"    // an object of an S3-compatible storage, or a prefix of keys
	OCI         Scheme = "oci"   // an artifact of an OCI registry
	Local       Scheme = "file"  // a file or folder of this machine
)

// Allowed lists the forms of a source, for messages.
const Allowed = "https://HOST/PATH/model.onnx, hf://OWNER/REPO[@REVISION][/PATH], s3://BUCKET/KEY, " +
	"oci://REGISTRY/REPO:TAG[/PATH] or @sha256:DIGEST, or a local file or folder"

const maxLength = 4096 // bytes of a source

// Source is a parsed address.
type Source struct {
	Scheme Scheme
	Host   string // OCI: the registry, with its port
	// Repo is the repository: OWNER/REPO of the Hugging Face Hub, an S3 bucket, or the name within an OCI registry.
	Repo string
	// Revision is a branch, tag or commit of the Hugging Face Hub, an S3 version ID, or an OCI tag. Empty: the current one.
	Revision string
	Digest   string // OCI: sha256:… of the manifest
	// Path is a file or folder in the repository, an S3 key or prefix, or a local path. Empty: all of it.
	Path string
	// Address is that of an HTTPS source.
	Address string
}

var (
	schemePattern  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$`)
	ownerPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	bucketPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)
	versionPattern = regexp.MustCompile(`\?versionId=([A-Za-z0-9._~+/=-]+)$`)
	// The grammars of names, tags and digests of the OCI distribution specification 1.1, and of its hosts.
	ociPattern  = regexp.MustCompile(`^([A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](?::[0-9]{1,5})?)/([a-z0-9._/-]+)(?::([^/@]*))?(?:@([^/]*))?(?:/(.*))?$`)
	namePattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	hashPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// commitPattern matches the commit of a Hugging Face repository, a revision that never changes.
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	revisionsPath = regexp.MustCompile(`^refs/(pr/[0-9]+|convert/[A-Za-z0-9._-]+)(/.*)?$`)
)

// Parse parses a source. Addresses of https://huggingface.co are understood as well, also those of its pages. The error says what
// is allowed, and does not repeat a query or password.
func Parse(text string) (Source, error) {
	s, err := parse(text)
	if n := len(s.String()); err == nil && n > maxLength { // escaping makes it longer
		err = fmt.Errorf("has %d bytes when it is written with escapes; the limit is %d", n, maxLength)
	}
	if err != nil {
		return Source{}, fmt.Errorf("source %q: %w", display(text), err)
	}
	return s, nil
}

func parse(text string) (Source, error) {
	switch {
	case text == "":
		return Source{}, errors.New("is empty; allowed: " + Allowed)
	case len(text) > maxLength:
		return Source{}, fmt.Errorf("has %d bytes; the limit is %d", len(text), maxLength)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return Source{}, errors.New("contains a character that cannot be printed")
	}
	m := schemePattern.FindStringSubmatch(text)
	if m == nil {
		if i := strings.Index(text, "://"); i >= 0 {
			return Source{}, errors.New("does not begin with a known scheme; allowed: " + Allowed)
		}
		return Source{Scheme: Local, Path: text}, nil
	}
	switch scheme, rest := strings.ToLower(m[1]), m[2]; scheme {
	case "https", "http":
		return parseHTTPS(text)
	case "hf":
		return parseHub(rest)
	case "s3":
		return parseS3(rest)
	case "oci":
		return parseOCI(rest)
	case "file":
		if !strings.HasPrefix(rest, "/") {
			return Source{}, errors.New("want file:///PATH with an absolute path")
		}
		return Source{Scheme: Local, Path: rest}, nil
	default:
		return Source{}, fmt.Errorf("%s:// is not supported; allowed: %s", scheme, Allowed)
	}
}

// display shortens a source for a message, without a query or a user name and password.
func display(text string) string {
	if m := schemePattern.FindStringSubmatch(text); m != nil {
		text, _, _ = strings.Cut(text, "?")
		host, rest, _ := strings.Cut(strings.TrimPrefix(text, m[1]+"://"), "/")
		if i := strings.LastIndexByte(host, '@'); i >= 0 && strings.HasPrefix(strings.ToLower(m[1]), "http") {
			text = m[1] + "://…@" + host[i+1:] + "/" + rest
		}
	}
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

func parseHTTPS(text string) (Source, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Source{}, errors.New("is not a valid address")
	}
	switch {
	case u.User != nil:
		return Source{}, errors.New("must not contain a user name or password")
	case u.Hostname() == "":
		return Source{}, errors.New("has no host")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return Source{}, errors.New("must not contain a fragment (#)")
	case u.Scheme == "http" && !IsLoopback(u.Host):
		return Source{}, errors.New("want https; http is allowed to this machine only (127.0.0.1, ::1, localhost)")
	}
	switch strings.ToLower(u.Hostname()) {
	case "huggingface.co", "www.huggingface.co", "hf.co":
		return parseHubPage(u)
	}
	return Source{Scheme: HTTPS, Address: u.String()}, nil
}

// IsLoopback reports whether a host, with or without a port, is this machine.
func IsLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// parseHubPage understands the addresses of a repository on huggingface.co and of its folders and files.
func parseHubPage(u *url.URL) (Source, error) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, part := range parts {
		var err error
		if parts[i], err = url.PathUnescape(part); err != nil {
			return Source{}, errors.New("is not a valid address")
		}
	}
	const want = "want https://huggingface.co/OWNER/REPO, or an address of a file of a model repository"
	if len(parts) < 2 || parts[0] == "datasets" || parts[0] == "spaces" || parts[0] == "api" {
		return Source{}, errors.New(want)
	}
	s := Source{Scheme: HuggingFace, Repo: parts[0] + "/" + parts[1]}
	if parts = parts[2:]; len(parts) > 0 {
		switch parts[0] {
		case "tree", "blob", "resolve", "raw":
		default:
			return Source{}, errors.New(want)
		}
		if len(parts) < 2 {
			return Source{}, errors.New(want)
		}
		rest := strings.Join(parts[1:], "/")
		if m := revisionsPath.FindStringSubmatch(rest); m != nil {
			s.Revision, s.Path = "refs/"+m[1], strings.TrimPrefix(m[2], "/")
		} else {
			s.Revision, s.Path = parts[1], strings.Join(parts[2:], "/")
		}
	}
	return s, s.checkHub()
}

func parseHub(rest string) (Source, error) {
	owner, rest, _ := strings.Cut(rest, "/")
	name, file, _ := strings.Cut(rest, "/")
	name, revision, pinned := strings.Cut(name, "@")
	s := Source{Scheme: HuggingFace, Repo: owner + "/" + name, Revision: revision, Path: file}
	switch m := revisionsPath.FindStringSubmatch(revision + "/" + file); {
	case pinned && m != nil: // as huggingface_hub, which needs no %2F in these
		s.Revision, s.Path = "refs/"+m[1], strings.TrimPrefix(m[2], "/")
	case pinned:
		var err error
		if s.Revision, err = url.PathUnescape(revision); err != nil || s.Revision == "" {
			return Source{}, errors.New("has an invalid revision after @; want a branch, a tag or a commit, with / written as %2F")
		}
	}
	s.Path = strings.TrimSuffix(s.Path, "/")
	return s, s.checkHub()
}

// checkHub checks the parts of a Hugging Face source.
func (s Source) checkHub() error {
	owner, name, _ := strings.Cut(s.Repo, "/")
	switch {
	case owner == "datasets" || owner == "spaces":
		return errors.New("is not a model; want hf://OWNER/REPO[@REVISION][/PATH]")
	case !ownerPattern.MatchString(owner) || !ownerPattern.MatchString(name):
		return errors.New("want hf://OWNER/REPO[@REVISION][/PATH]")
	case len(s.Revision) > 255 || !isPath(s.Revision) && s.Revision != "":
		return errors.New("has an invalid revision after @; want a branch, a tag or a commit")
	}
	return checkPath(s.Path)
}

func parseS3(rest string) (Source, error) {
	bucket, key, _ := strings.Cut(rest, "/")
	s := Source{Scheme: S3, Repo: bucket, Path: key}
	if m := versionPattern.FindStringSubmatch(key); m != nil {
		s.Revision, s.Path = m[1], strings.TrimSuffix(key, m[0])
	}
	switch {
	case !bucketPattern.MatchString(bucket):
		return Source{}, errors.New("want s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ with a model.onnx below it")
	case s.Revision != "" && (s.Path == "" || strings.HasSuffix(s.Path, "/")):
		return Source{}, errors.New("?versionId= needs the key of an object")
	case len(s.Path) > 1024:
		return Source{}, errors.New("the key is longer than 1024 bytes")
	}
	return s, checkPath(strings.TrimSuffix(s.Path, "/"))
}

func parseOCI(rest string) (Source, error) {
	const want = "want oci://REGISTRY/REPO:TAG[/PATH] or oci://REGISTRY/REPO@sha256:DIGEST[/PATH]"
	m := ociPattern.FindStringSubmatch(rest)
	if m == nil {
		return Source{}, errors.New(want)
	}
	s := Source{Scheme: OCI, Host: m[1], Repo: m[2], Revision: m[3], Digest: m[4], Path: strings.TrimSuffix(m[5], "/")}
	switch {
	case !strings.ContainsAny(s.Host, ".:") && s.Host != "localhost":
		return Source{}, fmt.Errorf("%q is not the host of a registry; %s", s.Host, want)
	case !namePattern.MatchString(s.Repo) || len(s.Repo) > 255:
		return Source{}, errors.New("has an invalid name of a repository; " + want)
	case s.Revision == "" && s.Digest == "":
		return Source{}, errors.New("has no tag and no digest; " + want)
	case s.Revision != "" && !tagPattern.MatchString(s.Revision), s.Digest != "" && !hashPattern.MatchString(s.Digest):
		return Source{}, errors.New("has an invalid tag or digest; " + want)
	}
	return s, checkPath(s.Path)
}

func checkPath(p string) error {
	if p != "" && !isPath(p) {
		return fmt.Errorf("the path %.100q must not have empty, . or .. parts", p)
	}
	return nil
}

// isPath reports whether p is a relative path without empty, . and .. parts.
func isPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// String returns the source as Parse reads it.
func (s Source) String() string {
	switch s.Scheme {
	case HTTPS:
		return s.Address
	case HuggingFace:
		text := "hf://" + s.Repo
		if s.Revision != "" {
			text += "@" + url.PathEscape(s.Revision)
		}
		return withPath(text, s.Path)
	case S3:
		text := "s3://" + s.Repo + "/" + s.Path
		if s.Revision != "" {
			text += "?versionId=" + s.Revision
		}
		return text
	case OCI:
		text := "oci://" + s.Host + "/" + s.Repo
		if s.Revision != "" {
			text += ":" + s.Revision
		}
		if s.Digest != "" {
			text += "@" + s.Digest
		}
		return withPath(text, s.Path)
	}
	if strings.Contains(s.Path, "://") {
		return "file://" + s.Path
	}
	return s.Path
}

func withPath(text, p string) string {
	if p == "" {
		return text
	}
	return text + "/" + p
}

// IsCommit reports whether the revision of a Hugging Face source is a full commit, which never changes.
func (s Source) IsCommit() bool { return commitPattern.MatchString(s.Revision) }

// Display returns the source for messages: without the query of an https address, which may contain a token.
func (s Source) Display() string {
	if s.Scheme == HTTPS {
		return display(s.Address)
	}
	return s.String()
}

// secretNames are parameters of a query that grant access: presigned addresses of S3, Google Cloud and Azure, and common tokens.
var secretNames = regexp.MustCompile(`(?i)^(x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|signature|expires|sig|se|sp|sv|sr|st|skoid|sktid|key-pair-id|policy|.*token|.*key|.*secret|password|auth|jwt)$`)

// Recorded returns the source as it may be written to a file: without the query of an https address that grants access.
func (s Source) Recorded() string {
	if s.Scheme != HTTPS {
		return s.String()
	}
	u, err := url.Parse(s.Address)
	if err != nil {
		return display(s.Address)
	}
	for name := range u.Query() {
		if secretNames.MatchString(name) {
			u.RawQuery = ""
		}
	}
	return u.String()
}
