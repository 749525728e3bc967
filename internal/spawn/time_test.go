package spawn

import (
	"testing"
	"testing/synctest"
	"time"
)

// With a clock that stands still unless waited for, a target is simulated by the
// CPU time that it uses a second.
func TestTimeIsUpByUseOrByIdleness(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share func(elapsed time.Duration) float64 // of a processor
		want  time.Duration
	}{
		{"busy", func(time.Duration) float64 { return 1 }, time.Second},
		{"on two processors", func(time.Duration) float64 { return 2 }, 500 * time.Millisecond},
		{"busy on a busy machine", func(time.Duration) float64 { return 0.4 }, 2500 * time.Millisecond},
		{"waits for ever", func(time.Duration) float64 { return 0 }, time.Second},
		{"works, then waits for ever", func(e time.Duration) float64 {
			if e < 300*time.Millisecond {
				return 1
			}
			return 0
		}, 1500 * time.Millisecond},
		{"works a little for ever", func(time.Duration) float64 { return 0.02 }, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				used := time.Duration(0)
				clock := newTimer(Limits{Timeout: time.Second, Used: func() time.Duration { return used }})
				for !clock.over() {
					time.Sleep(10 * time.Millisecond)
					used += time.Duration(tt.share(time.Since(began)) * float64(10*time.Millisecond))
				}
				if got := time.Since(began); got < tt.want || got > tt.want+tt.want/4 {
					t.Errorf("over after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestWithoutCPUTimeTheClockDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newTimer(Limits{Timeout: time.Second})
		if clock.over() || clock.next() != 1000 {
			t.Errorf("at the beginning: over %v, next %d", clock.over(), clock.next())
		}
		time.Sleep(time.Second)
		if !clock.over() {
			t.Error("not over after the limit")
		}
		if never := (&timekeeper{}); never.next() != -1 {
			t.Errorf("without a limit: next %d, want -1", never.next())
		}
	})
}
