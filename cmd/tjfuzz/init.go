package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func newInit() *cobra.Command {
	var output string
	var force bool
	var runs runFlags
	c := &cobra.Command{
		Use:   "init [flags] -- PROGRAM [ARGS...]",
		Short: "Write a scenario file for a program, by looking at it",
		Long: `Ask a program what it understands, and write a scenario file with that in comments:
what 'tjfuzz learn -c' takes, and what a person who knows the program then
changes. ARGS become its command line; @@ stands for the path of the input.`,
		Example: `  tjfuzz init -- ./target
  tjfuzz learn -c tjfuzz.yaml`,
		Args: targetArgs,
		RunE: func(c *cobra.Command, args []string) error { return runInit(c, runs, output, force, args) },
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&output, "output", "o", "tjfuzz.yaml", "write to this `file`, - for standard output")
	f.BoolVar(&force, "force", false, "replace the file if there is one")
	runs.add(c)
	return c
}

func runInit(c *cobra.Command, runs runFlags, output string, force bool, args []string) error {
	v := voiceOf(c, false)
	if output != "-" && !force {
		if _, err := os.Lstat(output); err == nil {
			return hinted(fmt.Errorf("%s is there already", output), "--force replaces it; -o names another file")
		}
	}
	out, err := outputTo(c, output)
	if err != nil {
		return err
	}
	s, err := newSession(args, runs)
	if err != nil {
		return err
	}
	if s.runs.backend, err = runs.backend.choose(v); err != nil {
		return err
	}
	if done, err := s.admit(c.Context(), c, v, runs.backend); done || err != nil {
		return err
	}
	v.say("asking %s what it understands", args[0])
	found, seeds, err := s.study(c.Context(), corpora.For(filepath.Base(s.path)))
	if err != nil {
		return err
	}
	if err := out.write(func(w io.Writer) error {
		_, err := w.Write(scenarioFile(args, s.fixed, found, seeds, s.doors))
		return err
	}); err != nil {
		return hinted(fmt.Errorf("write the scenario file: %w", err), "choose another place with -o")
	}
	if output != "-" {
		v.say("wrote %s; next: tjfuzz learn -c %s", output, output)
	}
	return nil
}

// scenarioFile is the file for a program as a person first sees it.
func scenarioFile(args []string, fixed int, found mine.Found, seeds []corpora.Seed, doors []door) []byte {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	list := func(title string, words []string) {
		if len(words) == 0 {
			return
		}
		const most = 40
		if len(words) > most {
			title = fmt.Sprintf("%s, the first %d of %d", title, most, len(words))
			words = words[:most]
		}
		say("# %s:", title)
		line := "#  "
		for _, w := range words {
			if len(line)+len(w) > 98 {
				say("%s", line)
				line = "#  "
			}
			line += " " + legible(w)
		}
		say("%s", line)
	}
	say("# What 'tjfuzz learn -c' learns; docs/scenario.md explains every line. Paths are relative to the")
	say("# directory in which it is started. Flags of learn win over what stands here.")
	say("version: 1")
	say("program: %s", flow(args[:fixed]))
	say("")
	say("# Command lines to begin with; learn varies them by itself. @@ stands for the path of the input,")
	say("# without it the input comes on standard input.")
	say("commands:")
	say("  - %s", flow(args[fixed:]))
	if len(args) == fixed {
		say("  - %s", flow([]string{mutate.Input}))
	}
	list("Sub-commands that were found", found.Table.Commands)
	var options []string
	for _, o := range found.Table.Options {
		options = append(options, o.Name)
	}
	list("Options that were found; learn tries them all", options)
	say("")
	say("# Files that each run finds in its directory, such as a configuration that an option names.")
	say("# files:")
	say("#   app.conf: |")
	say("#     key = value")
	say("#   data.bin: {from: samples/data.bin}")
	say("")
	say("# Configurations, of which learn changes a directive at a time: names of the files above, or paths.")
	if confs := likelyConfigs(args[fixed:]); len(confs) > 0 {
		say("config: %s", flow(confs))
	} else {
		say("# config: [app.conf]")
	}
	say("")
	if len(doors) > 0 {
		say("# Where the service was found to listen, and what it speaks there. Of a protocol of its own, give")
		say("# messages to begin with: {messages: [\"hello\\n\", {from: sample.bin}]}")
		say("sockets:")
		for _, d := range doors {
			say("  %s: %s", d.socket, d.protocol)
		}
	} else {
		say("# Where a service can be talked to, if learn does not find out by itself, and what it speaks there.")
		say("# sockets:")
		say("#   tcp/8080: http")
	}
	say("")
	say("# Whose process it is: same as learn's, or other users, for which learn has to be root.")
	say("# users: [same, nobody]")
	say("")
	say("# Changes of the environment; null unsets.")
	say("# environment:")
	say("#   LANG: C")
	names := slices.Clone(found.EnvNames)
	slices.Sort(names)
	list("Variables that the program seems to look at", slices.Compact(names))
	say("")
	var formats []string
	for _, s := range seeds {
		if s.Format != "" && !slices.Contains(formats, s.Format) && len(formats) < 8 {
			formats = append(formats, s.Format)
		}
	}
	say("# Sample inputs: a directory, a zip file or gofuzz, instead of what is built in, of which these")
	say("# formats are tried first: %s.", strings.Join(formats, ", "))
	say("# inputs:")
	say("#   seeds: samples/")
	say("")
	say("budget:")
	say("  duration: 5m        # at most; it stops by itself when more runs are unlikely to show more")
	say("")
	say("policy:")
	say("  default: errno      # what happens to all other calls: errno, kill, log, ...")
	say("  args: off           # or safe, strict: hold calls to the flags and enums that were seen")
	say("")
	say("output: %s", quoted(defaultProfile(args[0])))
	return b.Bytes()
}

// flow is a list in YAML.
func flow(words []string) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = quoted(w)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// quoted is a word in YAML, of which JSON is a part.
func quoted(word string) string {
	j, err := json.Marshal(word)
	if err != nil { // no string is refused
		panic("quote a word: " + err.Error())
	}
	return string(j)
}
