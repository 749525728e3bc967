//go:build !race

package spawn

const shadowFrom, shadowTo = 0, 0 // see shadow_race.go
