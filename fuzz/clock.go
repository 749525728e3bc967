package fuzz

import "time"

// Clock says what time it is when the target is executed. The zero value is the usual.
type Clock uint8

// The clocks. Each changes one thing: the time of day, or for how long the machine is up.
const (
	ClockHost    Clock = iota // the time that it is
	ClockEpoch                // a machine that has not learned the time since it was switched on
	ClockYearEnd              // the last second of a leap year, which is its 366th day
	Clock2038                 // 2^31 seconds after 1970 have just passed
	ClockFar                  // neither an unsigned 32-bit number of seconds nor a signed 64-bit number of nanoseconds counts that far
	ClockBooted               // up for a second
	ClockAged                 // up for three years: longer than any 32-bit number of milliseconds counts
	clocks
)

// far is what is far in the future.
var far = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	clockNames = [clocks]string{"host", "1970", "year-end", "2038", "2300", "booted", "aged"}
	timesOfDay = [clocks]time.Time{
		ClockEpoch: time.Unix(2, 0), ClockYearEnd: time.Date(2028, 12, 31, 23, 59, 59, 0, time.UTC), Clock2038: time.Unix(1<<31, 0), ClockFar: far,
	}
	uptimes = [clocks]time.Duration{ClockBooted: time.Second, ClockAged: 3 * 365 * 24 * time.Hour}
)

// String is the clock's name in files, empty for an invalid one.
func (c Clock) String() string {
	if c >= clocks {
		return ""
	}
	return clockNames[c]
}

// TimeOfDay is what CLOCK_REALTIME tells when the target is executed, in whole seconds. ok is false where
// that is the time that it is.
func (c Clock) TimeOfDay() (t time.Time, ok bool) { return timesOfDay[c], !timesOfDay[c].IsZero() }

// Uptime is what CLOCK_MONOTONIC and CLOCK_BOOTTIME tell then. ok is false where that is
// the time that the machine is up for.
func (c Clock) Uptime() (d time.Duration, ok bool) { return uptimes[c], uptimes[c] != 0 }

// FileTimes says when the files that a scenario has were last changed and read. The zero value is the usual.
type FileTimes uint8

// The times of files. Files are in the order of Scenario.Files, and then comes the input.
const (
	TimesMade    FileTimes = iota // when they were made, right before the run
	TimesEpoch                    // all at the beginning of 1970
	TimesFuture                   // all at the same time far in the future
	TimesRising                   // each an hour later than the one before, none in the future
	TimesFalling                  // each an hour earlier
	fileTimes
)

// String is the name in files, empty for invalid times.
func (t FileTimes) String() string {
	if t >= fileTimes {
		return ""
	}
	return [fileTimes]string{"made", "1970", "2300", "rising", "falling"}[t]
}

// Of is the time of the i-th of n files that were made at some time. ok is false where that one is it.
func (t FileTimes) Of(i, n int, made time.Time) (at time.Time, ok bool) {
	switch t {
	case TimesEpoch:
		return time.Unix(0, 0), true
	case TimesFuture:
		return far, true
	case TimesRising:
		return made.Add(-time.Duration(n-i) * time.Hour), true
	case TimesFalling:
		return made.Add(-time.Duration(i+1) * time.Hour), true
	}
	return made, false
}
