package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/tufrepo/direction"
)

const cloudName = "cloud"

// cloud is the file "cloud": the director's switch for the cloud connection. Each order to
// go offline is obeyed once, so that what is switched on at the device stays on.
type cloud struct {
	Schema int       `json:"schema"`
	Off    bool      `json:"off"`
	Order  string    `json:"order"` // the newest that was obeyed
	Since  time.Time `json:"since"`
}

// enabled says whether there may be a cloud connection: by the customer's switch in the
// configuration, and by the director's.
func (a *Agent) enabled() bool { return *a.cfg.Enabled && !a.cloud().Off }

// cloud reads the switch. One that nobody can read is on: the director gives its order
// again, and a device that is cut off by mistake helps nobody.
func (a *Agent) cloud() cloud {
	var c cloud
	if _, err := load(a.folder(), cloudName, &c); err != nil {
		a.o.Log.Error("the switch of the cloud connection cannot be read and counts as on", "error", err)
		return cloud{}
	}
	return c
}

func (a *Agent) setCloud(c cloud) error {
	c.Schema = schema
	b, err := json.Marshal(c)
	if err == nil {
		err = a.folder().Save(cloudName, b)
	}
	if err != nil {
		return fmt.Errorf("keep the switch of the cloud connection: %w", err)
	}
	return nil
}

// goOffline obeys an order, unless it was obeyed before: first the switch, durably; then the
// last word to the service; then the connection ends. Crash before: the direction is among
// those that were accepted, and obeyed at the next start.
func (l *loop) goOffline(d direction.Direction) {
	if l.cloud().Order == d.Update {
		return
	}
	if err := l.setCloud(cloud{Off: true, Order: d.Update, Since: l.now()}); err != nil {
		l.stumble(err)
		return
	}
	l.o.Log.Warn("the director has switched the cloud connection off; fairlead-agent online switches it on again", "order", d.Update)
	if b, err := l.boot.State(); err == nil {
		l.report(b)
	}
	l.cut()
	l.up, l.transport = nil, ""
	l.status()
}

// Online lets the cloud connection be that the director has switched off. ErrNothing if it
// has not.
func (a *Agent) Online() error {
	s, err := a.open()
	if err != nil {
		return err
	}
	c := a.cloud()
	if c.Off {
		err = a.setCloud(cloud{Order: c.Order, Since: s.now()})
	} else {
		err = fmt.Errorf("%w: the director has not switched the cloud connection off", ErrNothing)
	}
	return errors.Join(err, s.close())
}
