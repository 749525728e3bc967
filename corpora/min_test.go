package corpora

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// letters is a target: a seed shows its letters.
type letters struct {
	seen  map[rune]bool
	flaky rune // shown in the first pass alone
	fails bool
}

func (l *letters) Show(s Seed) ([]string, error) {
	var fresh []string
	for _, c := range string(s.Data) {
		if !l.seen[c] && c != l.flaky {
			l.seen[c] = true
			fresh = append(fresh, string(c))
		}
	}
	if l.fails {
		return nil, errors.New("broken")
	}
	return fresh, nil
}

func (l *letters) Close() error { return nil }

func TestMinKeepsEverythingThatIsShownInFewSeeds(t *testing.T) {
	cases := []struct {
		seeds, want string
		flaky       rune
	}{
		{"a b c abc", "a b c", 0}, // small ones are worth more to a fuzzer
		{"a x abc", "x abc", 0},
		{"a a a", "a", 0},
		{"ab cd abc bcd", "ab cd", 0},
		{"a x ab", "a x ab", 'a'}, // nothing says that ab shows it, too
		{"", "", 0},
	}
	for _, c := range cases {
		var seeds []Seed
		for _, w := range strings.Fields(c.seeds) {
			seeds = append(seeds, Seed{Name: w, Data: []byte(w)})
		}
		passes := 0
		got, err := Min(seeds, func() (Pass, error) {
			l := &letters{seen: map[rune]bool{}}
			if passes++; passes == 2 {
				l.flaky = c.flaky
			}
			return l, nil
		})
		if err != nil || strings.Join(names(got), " ") != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.seeds, names(got), err, c.want)
		}
	}
	_, err := Min([]Seed{{Name: "a", Data: []byte("a")}}, func() (Pass, error) { return &letters{seen: map[rune]bool{}, fails: true}, nil })
	if err == nil {
		t.Error("a target that cannot be run: got no error")
	}
}

func TestMinShowsTheSameAsAllSeeds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var seeds []Seed
		all := map[rune]bool{}
		for range rng.IntN(12) {
			word := make([]byte, rng.IntN(6))
			for j := range word {
				word[j] = byte('a' + rng.IntN(12))
				all[rune(word[j])] = true
			}
			seeds = append(seeds, Seed{Name: string(word), Data: word})
		}
		got, err := Min(seeds, func() (Pass, error) { return &letters{seen: map[rune]bool{}}, nil })
		if err != nil {
			t.Fatal(err)
		}
		shown := map[rune]bool{}
		for _, s := range got {
			for _, c := range string(s.Data) {
				shown[c] = true
			}
		}
		if len(shown) != len(all) {
			t.Fatalf("%v of %v show %d letters, want %d", names(got), names(seeds), len(shown), len(all))
		}
		for i := range got { // none is in vain beside the larger ones
			rest := slices.Concat(got[i+1:])
			if !slices.ContainsFunc([]rune(string(got[i].Data)), func(c rune) bool {
				return !slices.ContainsFunc(rest, func(s Seed) bool { return strings.ContainsRune(string(s.Data), c) })
			}) {
				t.Errorf("%s of %v shows nothing that the larger ones do not", got[i].Name, names(got))
			}
		}
	}
}
