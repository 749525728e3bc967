package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes what the binary is made of, in CycloneDX: its modules, as the binary itself
// says, Go's own library, and the C libraries that are linked in.
func (o *options) sbom() error {
	info, err := buildinfo.ReadFile(o.binary)
	if err != nil {
		return err
	}
	program := cdx.Component{BOMRef: "tjfuzz", Type: cdx.ComponentTypeApplication, Name: "tjfuzz", Version: o.version, PackageURL: "pkg:golang/" + info.Main.Path + "@" + o.version}
	list := []cdx.Component{library("pkg:golang/stdlib", "stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, library("pkg:golang/"+m.Path, m.Path, m.Version))
	}
	for _, m := range o.more {
		list = append(list, library("pkg:generic/"+m.name, m.name, m.value))
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: o.at.Format("2006-01-02T15:04:05Z"), Component: &program}
	bom.Components = &list
	var refs []string
	for _, c := range list {
		refs = append(refs, c.BOMRef)
	}
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}
	f, err := os.Create(o.output)
	if err != nil {
		return err
	}
	defer f.Close()
	e := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON)
	e.SetPretty(true)
	if err := e.Encode(bom); err != nil {
		return fmt.Errorf("%s: %w", o.output, err)
	}
	return f.Close()
}

func library(url, name, version string) cdx.Component {
	return cdx.Component{BOMRef: url + "@" + version, Type: cdx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: url + "@" + version}
}
