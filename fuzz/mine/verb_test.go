package mine

import (
	"slices"
	"testing"
)

func TestCommandsOfAProtocolStandInARow(t *testing.T) {
	strs := []string{
		"usage", "%s: no", "alert", "crit", "debug", "emerg", "error", "info", "%d", // lower case: after capitals
		"NICK", "USER", "JOIN", "PART", "QUIT", "PRIVMSG", "QUIT", "no such nick",
		"HELO", "EHLO", "NOOP", // too few
		"ENOENT", "EPERM", "EAGAIN", "EBADF", "EBUSY", "EXIT", "--", // errors
		"put ", "peek ", "peek-ready", "reserve-with-timeout ", "delete ", "quit", "list-tubes", "kick ", "/",
	}
	want := []string{"NICK", "USER", "JOIN", "PART", "QUIT", "PRIVMSG"}
	want = append(want, "put ", "peek ", "peek-ready", "reserve-with-timeout ", "delete ", "quit", "list-tubes", "kick ")
	want = append(want, "alert", "crit", "debug", "emerg", "error", "info")
	if got := Verbs(strs); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Verbs(nil); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}
