package network

//go:generate sh generate.sh
