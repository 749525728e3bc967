#!/bin/sh
# Compiles divert.bpf.c for both architectures, as trace/rawtp/generate.sh does. Arguments
# go to bpf2go.
set -eu
cd "$(dirname "$0")"
cc=clang-14
command -v "$cc" >/dev/null || cc=clang
exec go tool bpf2go -cc "$cc" -go-package network -target amd64,arm64 -tags linux "$@" \
	divert divert.bpf.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I/usr/include
