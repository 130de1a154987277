package repository

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a definition: far above every real model, and low enough that no file can make the server ask for
// memory it does not have.
const (
	maxSide      = 8192     // pixels of the input's width or height
	maxBatch     = 1024     // rows of a batch
	maxQueue     = 65536    // images
	maxInstances = 64       // groups, and instances of a group
	maxExtra     = 8        // inputs beside the image
	maxFactor    = 1e6      // scale, mean and std
	maxVersion   = 1e9      // a version's number
	maxWeights   = 16 << 30 // bytes of a model.onnx
)

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	devicePattern = regexp.MustCompile(`^(auto|cpu|cuda(:[0-9]{1,2})?)$`)
)

// ValidName reports whether name may name a model: a letter or digit, then up to 127 letters, digits, dots,
// dashes and underscores. So no name can be a path.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// Validate reports everything wrong with the definition itself, each mistake naming its key. It expects defaults
// to be filled in, and does not look at the ONNX file (Resolve does).
func (d Definition) Validate() error { return d.check().join(nowhere) }

func (d *Definition) check() mistakes {
	var m mistakes
	if d.Name != "" && !ValidName(d.Name) {
		m.add("name", "%q is not a model name; allowed: letters, digits and . _ - , at most 128", d.Name)
	}
	m.oneOf("task", string(d.Task), string(Classification), string(Detection))
	m.localFile("labels", d.LabelsFile)
	d.Input.check(&m)
	d.checkOutput(&m)
	d.Batching.check(&m)
	d.checkInstances(&m)
	between(&m, "warmup", d.Warmup, 0, 100)
	d.checkSelfTest(&m)
	d.Versions.check(&m)
	d.Source.check(&m)
	return m
}

// localFile reports a name that leaves the model's folder.
func (m *mistakes) localFile(key, name string) {
	if name == "" {
		return
	}
	if strings.Contains(name, `\`) || path.IsAbs(name) || path.Clean(name) != name || name == "." ||
		name == ".." || strings.HasPrefix(name, "../") {
		m.add(key, "%q is not a file in the model's folder", name)
	}
}

func (b Batching) check(m *mistakes) {
	between(m, "batching.max_size", b.MaxSize, 0, maxBatch)
	between(m, "batching.queue", b.Queue, 1, maxQueue)
	if b.MaxDelay < 0 || b.MaxDelay > 10*time.Second {
		m.add("batching.max_delay", "%v is out of range; allowed: 0s to 10s", b.MaxDelay)
	}
	if b.Queue >= 1 && b.MaxSize > b.Queue {
		m.add("batching.queue", "%d is less than batching.max_size, which is %d", b.Queue, b.MaxSize)
	}
}

func (d *Definition) checkInstances(m *mistakes) {
	if len(d.Instances) > maxInstances {
		m.add("instances", "there are %d groups; allowed: %d", len(d.Instances), maxInstances)
		return
	}
	for i, g := range d.Instances {
		key := indexKey("instances", i)
		if !devicePattern.MatchString(g.Device) {
			m.add(key+".device", "%q is not known; allowed: auto, cpu, cuda, cuda:0 to cuda:99", g.Device)
		}
		between(m, key+".count", g.Count, 0, maxInstances)
		same := func(other Group) bool { return other.Device == g.Device }
		if slices.IndexFunc(d.Instances, same) < i {
			m.add(key+".device", "%q is named by another group already; raise its count instead", g.Device)
		}
	}
}

func (d *Definition) checkSelfTest(m *mistakes) {
	t := d.SelfTest
	m.localFile("self_test.image", t.Image)
	between(m, "self_test.min_score", t.MinScore, 0, 1)
	if t.Image == "" && (t.Label != "" || t.MinScore != 0) {
		m.add("self_test.image", "must be given when label or min_score is")
	}
	if t.MinScore != 0 && t.Label == "" {
		m.add("self_test.label", "must be given when min_score is")
	}
	if t.Label != "" && len(d.Labels) > 0 && !slices.Contains(d.Labels, t.Label) {
		m.add("self_test.label", "%q is not in %s", t.Label, d.LabelsFile)
	}
}

func (v Versions) check(m *mistakes) {
	for i, n := range v.Numbers {
		between(m, indexKey("versions", i), n, 1, maxVersion)
		if slices.Index(v.Numbers, n) < i {
			m.add(indexKey("versions", i), "%d is in the list twice", n)
		}
	}
	if v.All && len(v.Numbers) > 0 {
		m.add("versions", "all and a list of numbers exclude each other")
	}
}

func (s Source) check(m *mistakes) {
	between(m, "source.version", s.Version, 1, maxVersion)
	between(m, "source.size", s.Size, 0, maxWeights)
	if s.SHA256 != "" && !sha256Pattern.MatchString(s.SHA256) {
		m.add("source.sha256", "%.80q is not 64 lower-case hexadecimal digits", s.SHA256)
	}
	if s.URL == "" {
		return
	}
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		m.add("source.url", "%q is not an https address without a user name", s.URL)
	}
	if s.SHA256 == "" {
		m.add("source.sha256", "must be given when source.url is")
	}
}
