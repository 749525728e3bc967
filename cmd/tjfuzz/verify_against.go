package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz"
)

// verifyAgainst replays the witnesses in containers.
func verifyAgainst(ctx context.Context, c *cobra.Command, v voice, o verifyOptions, args []string) error {
	if o.noCage {
		return usage(c, errors.New("--no-cage: a container is a cage"))
	}
	s, err := newSession(args, o.runFlags)
	if err != nil {
		return err
	}
	path, p, err := loadPolicy(o.policy, args[0])
	if err != nil {
		return err
	}
	state, err := storedScenarios(s, args[0])
	if err != nil {
		return err
	}
	more, err := o.extra.scenarios(s)
	if err != nil {
		return err
	}
	stored, err := replayable(state, []fuzz.Folder{fuzz.Witnesses})
	if err != nil {
		return err
	}
	all := append(stored, more...)
	able := slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return !containable(&k.Scenario) })
	b, err := newBoxes(ctx, s, o, path, p)
	if err != nil {
		return err
	}
	cases := make([]enforce.Case, len(able))
	for i, k := range able {
		cases[i] = enforce.Case{ID: k.ID, Command: k.command, Replay: func(ctx context.Context) (enforce.Replayed, error) { return b.replay(ctx, &k.Scenario) }}
	}
	result, err := enforce.Verify(ctx, p, cases, 1, nil)
	complete := b.rec.Lost().Complete() && b.rec.Dropped().Denials == 0
	if closed := b.close(); err == nil {
		err = closed
	}
	if errors.Is(err, enforce.ErrNothingToReplay) {
		return hinted(fmt.Errorf("%w in %s", err, state.Dir()), "'tjfuzz learn -- %s' makes some", args[0])
	}
	if err != nil {
		return err
	}
	if o.junit != "" {
		out, err := outputTo(c, o.junit)
		if err != nil {
			return err
		}
		if err := out.write(func(w io.Writer) error { return writeJUnit(w, path, result.Results) }); err != nil {
			return err
		}
	}
	refused := make([]string, 0, len(b.refused))
	for _, id := range b.refused {
		refused = append(refused, id.String())
	}
	if o.asJSON {
		err = writeJSON(c.OutOrStdout(), struct {
			Against    string              `json:"against"`
			Version    string              `json:"version"`
			Replays    int                 `json:"replays"`
			Violations []enforce.Violation `json:"violations"`
			Runtime    []string            `json:"refused_to_runtime"`
			Unstarted  int                 `json:"not_started"` // for that
			Complete   bool                `json:"complete"`
			Other      int                 `json:"not_replayed"`
		}{b.engine.Name, b.engine.Version, result.Replays, append([]enforce.Violation{}, result.Violations...), refused, b.unstarted, complete, len(all) - len(able)})
		if err != nil {
			return err
		}
	} else {
		out := c.OutOrStdout()
		writeViolations(out, result)
		if b.unstarted > 0 {
			fmt.Fprintf(out, "violation: %d of %d programs were not started: %s\n", b.unstarted, result.Replays, legible(b.why))
			if len(refused) > 0 {
				fmt.Fprintf(out, "violation: %s itself is refused %s\n", b.engine.Name, strings.Join(refused, " "))
			}
			v.hint("without the profile it starts them; 'tjfuzz generate --runtime %s' adds what it needs", b.engine.Name)
		} else if len(refused) > 0 {
			v.say("%s itself is refused %s, and starts programs all the same", b.engine.Name, strings.Join(refused, " "))
		}
		if n := len(all) - len(able); n > 0 {
			v.say("%d scenarios were not replayed: they vary what a container has of its own, or what earlier runs have left", n)
		}
		fmt.Fprintf(out, "%s in %s: %d scenarios replayed, %d violations\n", path, b.engine.Version, result.Replays, len(result.Violations))
	}
	switch {
	case len(result.Violations) > 0 || b.unstarted > 0:
		return exitStatus(exitViolation)
	case !complete:
		return backendEBPF.lossy()
	}
	return nil
}

// containable reports whether a scenario varies only what a container can be given.
func containable(s *fuzz.Scenario) bool {
	plain := fuzz.World{Stdout: s.World.Stdout, Stderr: s.World.Stderr, Input: s.World.Input}
	output := func(k fuzz.OutputKind) bool {
		return k == fuzz.OutputFile || k == fuzz.OutputPipe || k == fuzz.OutputNull
	}
	return len(s.Before) == 0 && slices.Contains([]fuzz.StdinKind{fuzz.StdinNull, fuzz.StdinFile, fuzz.StdinPipe}, s.Stdin) &&
		s.World.Input != fuzz.FileFIFO && output(s.World.Stdout) && output(s.World.Stderr) && fmt.Sprint(s.World) == fmt.Sprint(plain)
}
