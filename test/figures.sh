#!/bin/sh
# Prints the figures of docs/reliability.md from logs of "go test -v": figures.sh LOG...
exec awk '
/_test\.go:[0-9]+: / {
	on = $0 ~ /distinct|survived|left out|catalogue:|stolen keys:|memory:|slow disk:|few files:|boot environments| starts in |the same sweep:|grows by|QEMU:|NOT TESTED/
	if (on) { sub(/^ *[a-z_]+_test\.go:[0-9]+: /, ""); print }
	next
}
/^(===|---|ok|PASS|FAIL|    ---)/ { on = 0 }
on && /^        / { print }
' "$@"
