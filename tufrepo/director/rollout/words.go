package rollout

import (
	"fmt"
	"slices"
	"time"
)

// Duration is a time.Duration that is written as text: "36h", "1h30m". Whole seconds.
type Duration time.Duration

func (d Duration) String() string               { return time.Duration(d).String() }
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
func (d Duration) seconds() int64               { return int64(time.Duration(d) / time.Second) }

func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 || v%time.Second != 0 {
		return fmt.Errorf("%.40q is not a duration in whole seconds, like \"36h\" or \"1h30m\"", b)
	}
	*d = Duration(v)
	return nil
}

// seconds since 1970, 0 for the zero time.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// instant is the inverse of seconds.
func instant(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// Clock is a time of day in minutes, 0 to 1440; "00:00" to "24:00".
type Clock int

func (c Clock) String() string               { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c *Clock) UnmarshalText(b []byte) error {
	if string(b) == "24:00" {
		*c = 24 * 60
		return nil
	}
	t, err := time.Parse("15:04", string(b))
	if err != nil || len(b) != 5 {
		return fmt.Errorf("%.40q is not a time of day from \"00:00\" to \"24:00\"", b)
	}
	*c = Clock(t.Hour()*60 + t.Minute())
	return nil
}

// Day is a day of the week: "mon".
type Day time.Weekday

func dayNames() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

func (d Day) String() string               { return dayNames()[(int(d)%7+7)%7] }
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Day) UnmarshalText(b []byte) error {
	i := slices.Index(dayNames(), string(b))
	if i < 0 {
		return fmt.Errorf("%.40q is not a day: use mon, tue, wed, thu, fri, sat, sun", b)
	}
	*d = Day(i)
	return nil
}
