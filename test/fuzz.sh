#!/bin/sh
# Runs each fuzz target for a while: test/fuzz.sh 20s
set -eu
each=${1:-20s}
for pkg in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "$pkg $target $each"
    go test -fuzzminimizetime 10x -run '^$' -fuzz "^$target\$" -fuzztime "$each" "$pkg"
  done
done
