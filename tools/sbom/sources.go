package main

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// modules lists Go's standard library and the modules in a program.
func modules(info *debug.BuildInfo) []component {
	list := []component{newComponent("golang", "", "stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		space, name := "", m.Path
		if i := strings.LastIndex(m.Path, "/"); i >= 0 {
			space, name = m.Path[:i], m.Path[i+1:]
		}
		list = append(list, newComponent("golang", space, name, m.Version, ""))
	}
	return list
}

// read returns the packages of a folder of status records or a file of package URLs. A source without packages is an
// error, since the list would be incomplete.
func read(source string) ([]component, error) {
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	var list []component
	if info.IsDir() {
		list, err = readStatus(source)
	} else {
		list, err = readURLs(source)
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s names no package", source)
	}
	return list, err
}

func readStatus(dir string) ([]component, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	system := "debian"
	if release, err := os.ReadFile(filepath.Join(dir, "../../../../etc/os-release")); err == nil {
		if field(string(release), "ID", "=") == "ubuntu" {
			system = "ubuntu"
		}
	}
	var list []component
	for _, file := range files {
		record, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name, version := field(string(record), "Package", ":"), field(string(record), "Version", ":")
		if name == "" || version == "" {
			return nil, fmt.Errorf("%s is not a package's status record", file)
		}
		list = append(list, newComponent("deb", system, name, version, field(string(record), "Architecture", ":")))
	}
	return list, nil
}

// field returns the value of the first line that begins with key and separator, "" for none.
func field(text, key, separator string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+separator); ok {
			return strings.Trim(value, "\" \n")
		}
	}
	return ""
}

func readURLs(path string) ([]component, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var list []component
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		c, err := parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	return list, lines.Err()
}

// parse reads a package URL of the form pkg:type/namespace/name@version?arch=….
func parse(text string) (component, error) {
	rest, ok := strings.CutPrefix(text, "pkg:")
	path, query, _ := strings.Cut(rest, "?")
	path, version, versioned := strings.Cut(path, "@")
	parts := strings.Split(path, "/")
	if !ok || !versioned || len(parts) < 2 {
		return component{}, fmt.Errorf("%q is not a package URL", text)
	}
	version, err := url.PathUnescape(version)
	if err != nil {
		return component{}, fmt.Errorf("%q: %w", text, err)
	}
	last := len(parts) - 1
	return newComponent(parts[0], strings.Join(parts[1:last], "/"), parts[last], version, strings.TrimPrefix(query, "arch=")), nil
}
