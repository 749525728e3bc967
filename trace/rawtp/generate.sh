#!/bin/sh
# Compiles recorder.bpf.c for both architectures. The committed objects are the
# output of clang 14 (Debian 12): another version makes other bytes. Arguments go
# to bpf2go; the test that compares the bytes passes -output-dir.
set -eu
cd "$(dirname "$0")"
cc=clang-14
command -v "$cc" >/dev/null || cc=clang
exec go tool bpf2go -cc "$cc" -go-package rawtp -target amd64,arm64 \
	-tags linux -type abi -type kind -type set -type slot -type session -type event -type text -type shape -type shapes -type denial -type detail -type choices -type value -type site_key -type site -type crash -type process -type kin -type pass -type room "$@" \
	recorder recorder.bpf.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I/usr/include
