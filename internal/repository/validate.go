package repository

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"fovea/internal/config"
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

// Validate reports all errors in the definition itself, each with its key. Defaults must be filled in; the ONNX file is
// Resolve's concern.
func (d Definition) Validate() error { return d.check().Err() }

func (d *Definition) check() config.Errors {
	var errs config.Errors
	if d.Name != "" && !ValidName(d.Name) {
		errs.Add("name", "%q is not a valid model name: at most 128 letters, digits and . _ -", d.Name)
	}
	errs.OneOf("task", string(d.Task), string(Classification), string(Detection))
	localFile(&errs, "labels", d.LabelsFile)
	d.Input.check(&errs)
	d.checkOutput(&errs)
	d.Batching.check(&errs)
	d.checkInstances(&errs)
	config.Range(&errs, "warmup", d.Warmup, 0, 100)
	d.checkSelfTest(&errs)
	d.Versions.check(&errs)
	d.Source.check(&errs)
	return errs
}

// localFile reports a name that leaves the model's folder.
func localFile(errs *config.Errors, key, name string) {
	if name == "" {
		return
	}
	if strings.Contains(name, `\`) || path.IsAbs(name) || path.Clean(name) != name || name == "." ||
		name == ".." || strings.HasPrefix(name, "../") {
		errs.Add(key, "%q is not a file in the model's folder", name)
	}
}

func (b Batching) check(errs *config.Errors) {
	config.Range(errs, "batching.max_size", b.MaxSize, 0, maxBatch)
	config.Range(errs, "batching.queue", b.Queue, 1, maxQueue)
	config.Range(errs, "batching.max_delay", b.MaxDelay, 0, 10*time.Second)
	if b.Queue >= 1 && b.MaxSize > b.Queue {
		errs.Add("batching.queue", "%d is less than batching.max_size, which is %d", b.Queue, b.MaxSize)
	}
}

func (d *Definition) checkInstances(errs *config.Errors) {
	if len(d.Instances) > maxInstances {
		errs.Add("instances", "there are %d groups; the limit is %d", len(d.Instances), maxInstances)
		return
	}
	for i, g := range d.Instances {
		key := config.Index("instances", i)
		if !devicePattern.MatchString(g.Device) {
			errs.Add(key+".device", "%q is not one of auto, cpu, cuda, cuda:0 to cuda:99", g.Device)
		}
		config.Range(errs, key+".count", g.Count, 0, maxInstances)
		same := func(other Group) bool { return other.Device == g.Device }
		if slices.IndexFunc(d.Instances, same) < i {
			errs.Add(key+".device", "%q already has a group; raise its count instead", g.Device)
		}
	}
}

func (d *Definition) checkSelfTest(errs *config.Errors) {
	t := d.SelfTest
	localFile(errs, "self_test.image", t.Image)
	config.Range(errs, "self_test.min_score", t.MinScore, 0, 1)
	if t.Image == "" && (t.Label != "" || t.MinScore != 0) {
		errs.Add("self_test.image", "is required with label or min_score")
	}
	if t.MinScore != 0 && t.Label == "" {
		errs.Add("self_test.label", "is required with min_score")
	}
	if t.Label != "" && len(d.Labels) > 0 && !slices.Contains(d.Labels, t.Label) {
		errs.Add("self_test.label", "%q is not in %s", t.Label, d.LabelsFile)
	}
}

func (v Versions) check(errs *config.Errors) {
	for i, n := range v.Numbers {
		config.Range(errs, config.Index("versions", i), n, 1, maxVersion)
		if slices.Index(v.Numbers, n) < i {
			errs.Add(config.Index("versions", i), "%d is listed twice", n)
		}
	}
	if v.All && len(v.Numbers) > 0 {
		errs.Add("versions", "all and a list of numbers exclude each other")
	}
}

func (s Source) check(errs *config.Errors) {
	config.Range(errs, "source.version", s.Version, 1, maxVersion)
	config.Range(errs, "source.size", config.Size(s.Size), 0, maxWeights)
	if s.SHA256 != "" && !sha256Pattern.MatchString(s.SHA256) {
		errs.Add("source.sha256", "%.80q is not 64 lower-case hexadecimal digits", s.SHA256)
	}
	if s.URL == "" {
		return
	}
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		errs.Add("source.url", "%q is not an https address without a user name", s.URL)
	}
	if s.SHA256 == "" {
		errs.Add("source.sha256", "is required with source.url")
	}
}
