package scenario

import (
	"encoding"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// atLine reads a value, and says where it stands if it is none.
func atLine(n *yaml.Node, v encoding.TextUnmarshaler) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: want one value here", n.Line)
	}
	if err := v.UnmarshalText([]byte(n.Value)); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// Bytes is a number of bytes, written as 512, 64KiB, 8MiB, 1GiB.
type Bytes int64

var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

// UnmarshalYAML implements yaml.Unmarshaler.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error { return atLine(n, b) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, found := strings.CutSuffix(string(text), u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err == nil && n >= 0 && n*float64(u.bytes) < 1<<50 {
			*b = Bytes(n * float64(u.bytes))
			return nil
		}
	}
	return fmt.Errorf("%q is not a number of bytes: write 64KiB, 8MiB or 1GiB", text)
}

// Share is a part of something, 0 to 1, written as 5%.
type Share float64

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Share) UnmarshalYAML(n *yaml.Node) error { return atLine(n, s) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Share) UnmarshalText(text []byte) error {
	digits, found := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if !found || err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is not a share: write a percentage from 0%% to 100%%", text)
	}
	*s = Share(n / 100)
	return nil
}

// Of is the share of n, rounded to the nearest, but not to nothing.
func (s Share) Of(n int) int {
	if s == 0 {
		return 0
	}
	return max(1, int(float64(s)*float64(n)+0.5))
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(b), 10), nil }

// MarshalText implements encoding.TextMarshaler.
func (s Share) MarshalText() ([]byte, error) {
	return append(strconv.AppendFloat(nil, 100*float64(s), 'g', -1, 64), '%'), nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.D().String()), nil }

// Duration is a time.Duration, written as 500ms, 10s, 2h, 30d.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error { return atLine(n, d) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if days, found := strings.CutSuffix(string(text), "d"); found {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		v = time.Duration(n * float64(day))
		if err == nil && !(math.Abs(n) < maxDays) {
			err = strconv.ErrRange
		}
	}
	if err != nil {
		return fmt.Errorf("%q is not a time: write 500ms, 10s, 2h or 30d", text)
	}
	*d = Duration(v)
	return nil
}

const (
	day     = 24 * time.Hour
	maxDays = 10_000
)

// D is the plain duration.
func (d Duration) D() time.Duration { return time.Duration(d) }
