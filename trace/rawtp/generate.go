package rawtp

//go:generate sh generate.sh
