package store

import (
	"strconv"
	"strings"
)

// placeholders turns SQLite's ? and ?N into PostgreSQL's $N. As with SQLite, ? is the one
// after the highest so far. A ? within a text in quotes stays.
func placeholders(query string) string {
	var b strings.Builder
	highest, quoted := 0, false
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c == '\'' {
			quoted = !quoted
		}
		if c != '?' || quoted {
			b.WriteByte(c)
			continue
		}
		n := 0
		for i+1 < len(query) && '0' <= query[i+1] && query[i+1] <= '9' {
			i++
			n = n*10 + int(query[i]-'0')
		}
		if n == 0 {
			n = highest + 1
		}
		highest = max(highest, n)
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
