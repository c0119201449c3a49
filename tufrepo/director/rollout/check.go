package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of a plan.
const (
	maxPhases  = 50
	maxGroups  = 64
	maxWindows = 32
	maxDevices = 10_000_000
	maxMinute  = 1_000_000
	longest    = Duration(400 * 24 * time.Hour)
)

// Check says what is wrong with a plan, and what to write instead. Whether its time zone
// and its groups exist is for New and for the caller.
func Check(s Spec) error {
	err := cmp.Or(s.checkSchema(), s.checkConsent(), s.checkPhases(), s.checkPace(), s.checkWindows(), s.checkTimes())
	if err != nil {
		return fmt.Errorf("the rollout plan: %w", err)
	}
	return nil
}

func (s Spec) checkSchema() error {
	if s.Schema != Schema {
		return fmt.Errorf("schema %d is not known here: write \"schema\": %d", s.Schema, Schema)
	}
	return nil
}

func (s Spec) checkConsent() error {
	switch s.Kind {
	case "", Forced, DownloadOnly:
		if s.Consent != nil {
			return fmt.Errorf("consent needs \"kind\": %q", Soft)
		}
		return nil
	case Soft:
	default:
		return fmt.Errorf("kind %.40q is none of %q, %q, %q", string(s.Kind), Forced, Soft, DownloadOnly)
	}
	switch c := s.Consent; {
	case c == nil:
		return fmt.Errorf("kind %q needs consent: how long may it be put off, and what then?", Soft)
	case c.Then != Force && c.Then != Skip:
		return fmt.Errorf("consent: then must be %q or %q, it is %.40q", Force, Skip, string(c.Then))
	default:
		return between("consent: longest", c.Longest, Duration(time.Minute), longest)
	}
}

func (s Spec) checkPhases() error {
	if err := between("the number of phases", len(s.Phases), 1, maxPhases); err != nil {
		return err
	}
	names, share := map[string]bool{}, 0
	for i, p := range s.Phases {
		if err := p.check(i == 0, i == len(s.Phases)-1); err != nil {
			return fmt.Errorf("phase %d, %.40q: %w", i+1, p.Name, err)
		}
		switch {
		case names[p.Name]:
			return fmt.Errorf("phase %d, %.40q: an earlier phase has this name", i+1, p.Name)
		case share == 100:
			return fmt.Errorf("phase %d, %.40q: the phase before goes up to 100 percent, nobody is left for it", i+1, p.Name)
		case p.Percent != 0 && p.Percent <= share:
			return fmt.Errorf("phase %d, %.40q: percent counts earlier phases in: it must be more than %d", i+1, p.Name, share)
		}
		names[p.Name], share = true, max(share, p.Percent)
	}
	return nil
}

func (p Phase) check(first, last bool) error {
	if !goodName(p.Name) {
		return errors.New("a name has 1 to 64 of a-z 0-9 . _ -, a letter or digit first")
	}
	if p.Canary && !first {
		return errors.New("only the first phase can be the canary")
	}
	if p.Approval && last {
		return errors.New("nothing comes after the last phase that could be approved")
	}
	err := p.checkDevices()
	if p.Success != 0 && err == nil {
		err = between("success", p.Success, 1, 100)
	}
	return cmp.Or(err, between("soak", p.Soak, 0, longest))
}

func (p Phase) checkDevices() error {
	switch {
	case p.Percent == 0 && p.Count == 0 && len(p.Groups) == 0:
		return errors.New("say which devices it is for: percent, count or groups")
	case p.Percent != 0 && (p.Count != 0 || len(p.Groups) != 0):
		return errors.New("percent is a share of all devices: it does not go with count or groups")
	case p.Percent != 0:
		return between("percent", p.Percent, 1, 100)
	}
	for _, g := range p.Groups {
		if g == "" || len(g) > 256 || strings.HasPrefix(g, "/") || strings.HasSuffix(g, "/") {
			return fmt.Errorf("group %.40q is not a path like \"berlin/hq/room-7\"", g)
		}
	}
	return cmp.Or(between("count", p.Count, 0, maxDevices), between("the number of groups", len(p.Groups), 0, maxGroups))
}

func (s Spec) checkPace() error {
	err := cmp.Or(between("in_flight", s.InFlight, 0, maxDevices), between("per_minute", s.PerMinute, 0, maxMinute))
	if s.SilentAfter != 0 {
		err = cmp.Or(err, between("silent_after", s.SilentAfter, Duration(time.Minute), longest))
	}
	if s.RollBack && s.Kind == DownloadOnly {
		err = cmp.Or(err, fmt.Errorf("roll_back has nothing to undo where the kind is %q", DownloadOnly))
	}
	if s.Pause != nil {
		err = cmp.Or(err, between("pause: percent", s.Pause.Percent, 0, 100), between("pause: sample", s.Pause.Sample, 0, maxDevices))
	}
	return err
}

func (s Spec) checkWindows() error {
	switch {
	case len(s.Windows) == 0 && s.Zone != "":
		return errors.New("zone is for windows, and there are none")
	case len(s.Windows) > 0 && s.Zone == "":
		return errors.New("zone is missing: which time zone holds for devices that tell none? For example \"Europe/Berlin\"")
	case len(s.Zone) > 64:
		return errors.New("zone is too long")
	}
	for i, w := range s.Windows {
		if err := w.check(); err != nil {
			return fmt.Errorf("window %d: %w", i+1, err)
		}
	}
	return between("the number of windows", len(s.Windows), 0, maxWindows)
}

func (w Window) check() error {
	switch {
	case w.From < 0 || w.From >= 24*60 || w.To < 0 || w.To > 24*60:
		return errors.New("from goes up to \"23:59\", to up to \"24:00\"")
	case w.From == w.To:
		return errors.New("from and to are the same: for a whole day write \"00:00\" and \"24:00\"")
	}
	for i, d := range w.Days {
		if d < 0 || d > 6 || slices.Contains(w.Days[:i], d) {
			return errors.New("a day stands there twice, or is none")
		}
	}
	return nil
}

func (s Spec) checkTimes() error {
	for _, t := range []time.Time{s.Start, s.OpenUntil} {
		if y := t.UTC().Year(); !t.IsZero() && (y < 2000 || y > 9998) {
			return fmt.Errorf("start or open_until is in the year %d", y)
		}
	}
	if !s.OpenUntil.IsZero() && !s.OpenUntil.After(s.Start) {
		return errors.New("open_until must be after start")
	}
	return nil
}

func between[N int | Duration](what string, n, least, most N) error {
	if n < least || n > most {
		return fmt.Errorf("%s must be from %v to %v, it is %v", what, least, most, n)
	}
	return nil
}

func goodName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 64 && strings.Contains(first, s[:1]) && strings.Trim(s, first+"._-") == ""
}
