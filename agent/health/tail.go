package health

import (
	"strings"
	"unicode/utf8"
)

// maxOutput is how many bytes of a check's output are kept.
const maxOutput = 1024

// tail is a writer that keeps the last maxOutput bytes.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > maxOutput {
		p = p[n-maxOutput:]
	}
	if drop := len(t.kept) + len(p) - maxOutput; drop > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[drop:])]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

func (t *tail) String() string { return string(t.kept) }

// clip makes text fit for a report: UTF-8, no control characters but line ends and tabs, at most maxOutput bytes, its end.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	for len(s) > maxOutput {
		_, size := utf8.DecodeRuneInString(s)
		s = s[max(size, 1):]
	}
	return s
}
