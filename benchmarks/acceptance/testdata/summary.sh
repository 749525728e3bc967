#!/bin/sh
# summary.sh [-n NUMBER] [-o FILE] [LOG...]: the most frequent words at the start
# of the lines of a log. It stands for the scripts that glue programs together.
set -eu

usage() {
	cat <<END
usage: $0 [-n NUMBER] [-o FILE] [LOG...]
  -n NUMBER  print this number of words (10)
  -o FILE    write to FILE
  -h         print this
END
}

number=10 output=
while getopts n:o:h option; do
	case $option in
	n) number=$OPTARG ;;
	o) output=$OPTARG ;;
	h) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
done
shift $((OPTIND - 1))

words=$(mktemp)
trap 'rm -f "$words"' EXIT
cat -- "$@" | cut -d ' ' -f 1 | sort | uniq -c | sort -rn >"$words"
if [ -n "$output" ]; then
	head -n "$number" "$words" >"$output"
	echo "$(wc -l <"$output") words in $output"
else
	head -n "$number" "$words"
fi
