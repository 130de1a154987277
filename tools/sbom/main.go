// Command sbom writes a software bill of materials, CycloneDX 1.6 in JSON, to standard output.
//
//	sbom PROGRAM SOURCE...
//
// It lists the Go modules in PROGRAM and the packages of each SOURCE: a folder of Debian status records (one file per
// package), or a file of package URLs (one per line).
package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 1 {
		return errors.New("usage: sbom PROGRAM SOURCE…")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	list := modules(info)
	for _, source := range args[1:] {
		found, err := read(source)
		if err != nil {
			return err
		}
		list = append(list, found...)
	}
	return write(os.Stdout, info.Main.Path, list)
}
