package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/tjfuzz/tjfuzz/synth"
)

// diffSARIF writes what became wider as SARIF 2.1.0 (OASIS), which code hosts show beside
// the file that they are about. What became narrower is no finding.
func diffSARIF(w io.Writer, d *comparison) error {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
	}
	type artifact struct {
		URI string `json:"uri"`
	}
	type region struct {
		StartLine int `json:"startLine"`
	}
	type physical struct {
		Artifact artifact `json:"artifactLocation"`
		Region   region   `json:"region"`
	}
	type location struct {
		Physical physical `json:"physicalLocation"`
	}
	type result struct {
		RuleID       string            `json:"ruleId"`
		Level        string            `json:"level"`
		Message      text              `json:"message"`
		Locations    []location        `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	type driver struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Rules   []rule `json:"rules"`
	}
	type tool struct {
		Driver driver `json:"driver"`
	}
	type run struct {
		Tool    tool     `json:"tool"`
		Results []result `json:"results"`
	}
	r := run{Tool: tool{driver{Name: "tjfuzz", Version: version}}, Results: []result{}}
	for _, k := range []struct {
		kind synth.ChangeKind
		says string
	}{
		{synth.Added, "The policy permits a syscall that it did not"},
		{synth.Widened, "The policy permits a syscall with arguments that it did not"},
		{synth.Changed, "The policy permits a syscall with other arguments than it did"},
	} {
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, rule{"seccomp/" + k.kind.String(), text{k.says}})
	}
	at := []location{{physical{artifact{filepath.ToSlash(d.path)}, region{1}}}}
	add := func(id, level, key, message string) {
		r.Results = append(r.Results, result{id, level, text{message}, at, map[string]string{"tjfuzz/v1": key}})
	}
	if d.DefaultIs.Action.Permits() && !d.DefaultWas.Action.Permits() {
		add("seccomp/widened", "error", "default", fmt.Sprintf("the default action was %v and is %v: every call is permitted", d.DefaultWas, d.DefaultIs))
	}
	for _, ch := range d.Changes {
		if !ch.Kind.Wider() {
			continue
		}
		message := fmt.Sprintf("%v (%v): %s", ch.ID, ch.Tier, synth.Says(ch.Is))
		if why := d.why(ch); why != "" {
			message += "; " + why
		}
		level := "warning"
		if name, ok := ch.ID.Name(); ok && synth.Dangerous(name) {
			level = "error"
		}
		add("seccomp/"+ch.Kind.String(), level, ch.Kind.String()+" "+ch.ID.String(), message)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}{"https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json", "2.1.0", []run{r}})
}
