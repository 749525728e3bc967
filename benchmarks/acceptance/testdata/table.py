#!/usr/bin/python3
"""Turn a CSV table into JSON or Markdown.

It stands for the scripts that people write in Python.
"""

import argparse
import csv
import json
import os
import sys
import tempfile


def read(names):
    rows = []
    for name in names or ["-"]:
        f = sys.stdin if name == "-" else open(name, newline="", encoding="utf-8")
        with f:
            rows += csv.DictReader(f)
    return rows


def markdown(rows, out):
    if not rows:
        return
    columns = list(rows[0])
    out.write("| " + " | ".join(columns) + " |\n")
    out.write("|" + "---|" * len(columns) + "\n")
    for row in rows:
        out.write("| " + " | ".join(str(row[c]) for c in columns) + " |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-f", "--format", choices=["json", "markdown"], default="json")
    parser.add_argument("-s", "--sort", metavar="COLUMN", help="sort by this column")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE, at once or not at all")
    parser.add_argument("files", nargs="*", help="CSV files, - or none for standard input")
    args = parser.parse_args()

    try:
        rows = read(args.files)
    except (OSError, UnicodeError, csv.Error) as error:
        sys.exit(f"table: {error}")
    if args.sort:
        rows.sort(key=lambda row: row.get(args.sort) or "")

    out = sys.stdout
    if args.output:
        out = tempfile.NamedTemporaryFile("w", dir=os.path.dirname(args.output) or ".", delete=False)
    if args.format == "json":
        json.dump(rows, out, indent=1)
        out.write("\n")
    else:
        markdown(rows, out)
    if args.output:
        out.close()
        os.rename(out.name, args.output)


main()
