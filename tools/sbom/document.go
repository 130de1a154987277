package main

import (
	"encoding/json"
	"io"
	"net/url"
	"sort"
	"strings"
)

// The subset of CycloneDX 1.6 (ECMA-424) that is written.
type document struct {
	Schema    string      `json:"$schema"`
	BOMFormat string      `json:"bomFormat"`
	Spec      string      `json:"specVersion"`
	Version   int         `json:"version"`
	Metadata  metadata    `json:"metadata"`
	Parts     []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Group   string `json:"group,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

// newComponent describes a library. Its package URL follows the purl specification: each part is
// percent-encoded, the slashes between the parts of a namespace are not.
func newComponent(kind, space, name, version, arch string) component {
	purl := "pkg:" + kind + "/"
	if space != "" {
		for part := range strings.SplitSeq(space, "/") {
			purl += escape(part) + "/"
		}
	}
	purl += escape(name) + "@" + escape(version)
	if arch != "" {
		purl += "?arch=" + arch
	}
	return component{Type: "library", Ref: purl, Group: space, Name: name, Version: version, PURL: purl}
}

func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// write sorts and deduplicates the components, so that the output is reproducible.
func write(w io.Writer, program string, list []component) error {
	sort.Slice(list, func(i, j int) bool { return list[i].Ref < list[j].Ref })
	unique := list[:0]
	for i, c := range list {
		if i == 0 || c.Ref != list[i-1].Ref {
			unique = append(unique, c)
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", BOMFormat: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: metadata{Component: component{Type: "application", Ref: program, Name: program}},
		Parts:    unique,
	})
}
