package harness

import "testing"

func TestSpreadInterpolatesAndLeavesItsNumbersAlone(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	if got, want := SpreadOf(values), (Spread{Low: 1.75, Median: 2.5, High: 3.25, N: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if values[0] != 4 {
		t.Errorf("the numbers were sorted: %v", values)
	}
	if got := SpreadOf(nil); got != (Spread{}) {
		t.Errorf("of nothing: got %+v, want zeros", got)
	}
}

func TestCommandCanBePasted(t *testing.T) {
	if got, want := Command("speed", []string{"-rounds", "3"}), "go run ./benchmarks/speed -rounds 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
