package store

import "time"

// AddEvent stores an event; false says that it was here before.
func (t *Tx) AddEvent(device, epoch string, seq int64, body []byte, now time.Time) (bool, error) {
	n, err := t.exec(`INSERT INTO events (device, epoch, seq, received, body) VALUES (?, ?, ?, ?, ?)
	  ON CONFLICT DO NOTHING`, device, epoch, seq, now.Unix(), string(body))
	return n > 0, err
}

// PruneEvents drops the oldest events of a device but for about keep.
func (t *Tx) PruneEvents(device string, keep int) error {
	return t.do(`DELETE FROM events WHERE device = ?1 AND received <
	  (SELECT received FROM events WHERE device = ?1 ORDER BY received DESC LIMIT 1 OFFSET ?2)`, device, keep)
}

// Events returns the events of a device in the order of their arrival.
func (t *Tx) Events(device string, limit int) ([][]byte, error) {
	return list(t, scanOne[[]byte], "SELECT body FROM events WHERE device = ? ORDER BY received, epoch, seq LIMIT ?", device, limit)
}
