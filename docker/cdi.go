package docker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fovea/internal/safeyaml"
)

const cdiGenerate = "nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml"

// maxCDIFile bounds a specification, in bytes; NVIDIA's for eight GPUs is about 60 KiB.
const maxCDIFile = 4 << 20

// cdiSpec is the part of a CDI specification used here: the names of its devices and what they take from the host.
// https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
type cdiSpec struct {
	Kind    string `yaml:"kind"`
	Devices []struct {
		Name  string   `yaml:"name"`
		Edits cdiEdits `yaml:"containerEdits"`
	} `yaml:"devices"`
	Edits cdiEdits `yaml:"containerEdits"`

	path     string
	modified time.Time
}

type cdiEdits struct {
	Mounts []struct {
		HostPath string `yaml:"hostPath"`
	} `yaml:"mounts"`
	DeviceNodes []struct {
		Path     string `yaml:"path"`
		HostPath string `yaml:"hostPath"`
		Major    int64  `yaml:"major"`
	} `yaml:"deviceNodes"`
}

type cdiSpecs []cdiSpec

// readCDI reads the specifications for NVIDIA's GPUs. A missing folder has none. The error lists files that cannot be read; the
// others are returned nevertheless.
func readCDI(dirs []string) (cdiSpecs, error) {
	var specs cdiSpecs
	var errs []error
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); ext != ".yaml" && ext != ".json" { // JSON is a subset of YAML
				continue
			}
			spec, err := readCDIFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				errs = append(errs, err)
			} else if spec.Kind == cdiKind {
				specs = append(specs, spec)
			}
		}
	}
	return specs, errors.Join(errs...)
}

func readCDIFile(path string) (cdiSpec, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return cdiSpec{}, err
	}
	if !stat.Mode().IsRegular() || stat.Size() > maxCDIFile {
		return cdiSpec{}, fmt.Errorf("%s: not a file of at most %d bytes", path, maxCDIFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return cdiSpec{}, err
	}
	spec, err := parseCDI(data)
	if err != nil {
		return cdiSpec{}, fmt.Errorf("%s: %w", path, err)
	}
	spec.path, spec.modified = path, stat.ModTime()
	return spec, nil
}

func parseCDI(data []byte) (cdiSpec, error) {
	var spec cdiSpec
	err := safeyaml.Unmarshal(data, &spec)
	return spec, err
}

// names returns the devices' full names, such as nvidia.com/gpu=0.
func (specs cdiSpecs) names() []string {
	var names []string
	for _, spec := range specs {
		for _, device := range spec.Devices {
			names = append(names, spec.Kind+"="+device.Name)
		}
	}
	return names
}

// stale returns why a specification does not match the installed driver, or "". driver is the running version, such as
// 580.65.06; empty: unknown.
func (spec cdiSpec) stale(driver string) string {
	edits := []cdiEdits{spec.Edits}
	for _, device := range spec.Devices {
		edits = append(edits, device.Edits)
	}
	for _, e := range edits {
		for _, m := range e.Mounts {
			if why := staleMount(m.HostPath, spec.modified, driver); why != "" {
				return why
			}
		}
		for _, node := range e.DeviceNodes {
			path := cmp.Or(node.HostPath, node.Path)
			if _, err := os.Stat(path); err != nil && node.Major == 0 { // with a number the node is created
				return "device " + path + " does not exist"
			}
		}
	}
	return ""
}

func staleMount(path string, written time.Time, driver string) string {
	stat, err := os.Stat(path)
	if err != nil {
		return path + " does not exist"
	}
	version, isDriver := strings.CutPrefix(filepath.Base(path), "libcuda.so.")
	switch {
	case isDriver && driver != "" && strings.Contains(version, ".") && version != driver:
		return "it is for driver " + version + ", but " + driver + " is running"
	case stat.Mode().IsRegular() && stat.ModTime().After(written):
		return "it is older than " + path
	}
	return ""
}
