package main

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/tjfuzz/tjfuzz/enforce"
)

// writeJUnit writes the results as CI systems read them: a test case for each scenario.
func writeJUnit(w io.Writer, profile string, results []enforce.Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *failure `xml:"failure"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	suite := testsuite{Name: profile, Tests: len(results)}
	for _, r := range results {
		c := testcase{Name: r.ID, Class: profile}
		if len(r.Violations) > 0 {
			suite.Failures++
			var calls []string
			for _, v := range r.Violations {
				calls = append(calls, v.Syscall)
			}
			c.Failure = &failure{"refused: " + strings.Join(calls, ", "), "violation", legible(r.Command) + "\n" + r.End}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
