package director

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"unicode"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

const (
	// MaxImport bounds a list of expected devices, in bytes; MaxImportRows in devices.
	MaxImport     = 16 << 20
	MaxImportRows = 100_000

	// maxComplaints is how many mistakes of a list are told at once.
	maxComplaints = 20
	// importBatch is how many devices are stored in one update, so that reports get their turn.
	importBatch = 500
	listPrefix  = "list:"
	listClaim   = "list" // stands with a device that came in by a list
)

// ExpectedRow is one device of an imported list.
type ExpectedRow struct {
	Serial   string `json:"serial"`
	MAC      string `json:"mac"`
	Product  string `json:"product"`
	Hardware string `json:"hardware"`
	Group    string `json:"group"`
}

// ParseExpected reads a list: CSV with a line of column names (serial, mac, product, hardware,
// group; in any order, at least one of the first two), or a JSON array of objects with those
// members. Everything is checked; the error names the lines, or for JSON the entries, that are
// wrong. MACs come back as aa:bb:cc:dd:ee:ff.
func ParseExpected(r io.Reader) ([]ExpectedRow, error) {
	in := bufio.NewReader(io.LimitReader(r, MaxImport+1))
	counted := &countingReader{r: in}
	first, err := firstByte(in)
	if err != nil {
		return nil, refuse(wire.CodeBadRequest, "the list is empty")
	}
	c := &checklist{seen: map[string]int{}}
	if first == '[' {
		err = c.readJSON(counted)
	} else {
		err = c.readCSV(counted)
	}
	switch {
	case counted.n > MaxImport:
		return nil, refuse(wire.CodeTooLarge, "the list has more than %d bytes: import it in parts", MaxImport)
	case err != nil:
		return nil, err
	case c.wrong > 0:
		return nil, c.complaint()
	case len(c.rows) == 0:
		return nil, refuse(wire.CodeBadRequest, "the list has no devices")
	}
	return c.rows, nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// firstByte looks past a byte order mark and white space.
func firstByte(in *bufio.Reader) (byte, error) {
	if mark, err := in.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		in.Discard(3) // it is there
	}
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, in.UnreadByte()
		}
	}
}

// checklist collects the rows of a list, and what is wrong with them.
type checklist struct {
	rows  []ExpectedRow
	seen  map[string]int // "serial x" or "mac x" -> place
	said  []string
	wrong int
}

func (c *checklist) complaint() error {
	text := strings.Join(c.said, "; ")
	if more := c.wrong - len(c.said); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return refuse(wire.CodeBadRequest, "the list was not imported: %s", text)
}

func (c *checklist) complain(what string, place int, err error) {
	if c.wrong++; len(c.said) < maxComplaints {
		c.said = append(c.said, fmt.Sprintf("%s %d: %v", what, place, err))
	}
}

func (c *checklist) add(what string, place int, r ExpectedRow) error {
	if len(c.rows)+c.wrong >= MaxImportRows {
		return refuse(wire.CodeTooLarge, "the list has more than %d devices: import it in parts", MaxImportRows)
	}
	err := r.check()
	for _, name := range []string{"serial " + r.Serial, "mac " + r.MAC} {
		if strings.HasSuffix(name, " ") || err != nil {
			continue
		}
		if before := c.seen[name]; before > 0 {
			err = fmt.Errorf("%s stands in %s %d already", name, what, before)
		}
		c.seen[name] = place
	}
	if err != nil {
		c.complain(what, place, err)
		return nil
	}
	c.rows = append(c.rows, r)
	return nil
}

func (c *checklist) readCSV(r io.Reader) error {
	in := csv.NewReader(r)
	in.TrimLeadingSpace, in.ReuseRecord, in.Comment = true, true, '#'
	header, err := in.Read()
	if err != nil {
		return refuse(wire.CodeBadRequest, "the list is not CSV: %v", err)
	}
	columns, err := columnsOf(header)
	if err != nil {
		return err
	}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return refuse(wire.CodeBadRequest, "the list is not CSV: %v", err)
		}
		line, _ := in.FieldPos(0)
		var row ExpectedRow
		for i, set := range columns {
			set(&row, strings.Clone(strings.TrimSpace(cells[i])))
		}
		if err := c.add("line", line, row); err != nil {
			return err
		}
	}
}

// columnsOf reads the names of the columns.
func columnsOf(header []string) (out []func(*ExpectedRow, string), err error) {
	known := map[string]func(*ExpectedRow, string){
		"serial":   func(r *ExpectedRow, s string) { r.Serial = s },
		"mac":      func(r *ExpectedRow, s string) { r.MAC = s },
		"product":  func(r *ExpectedRow, s string) { r.Product = s },
		"hardware": func(r *ExpectedRow, s string) { r.Hardware = s },
		"group":    func(r *ExpectedRow, s string) { r.Group = s },
	}
	var names []string
	for _, h := range header {
		name := strings.ToLower(strings.TrimSpace(h))
		if known[name] == nil || slices.Contains(names, name) {
			return nil, refuse(wire.CodeBadRequest, "column %.40q: the first line names the columns serial, mac, product, hardware, group, each once at most", h)
		}
		names, out = append(names, name), append(out, known[name])
	}
	if !slices.Contains(names, "serial") && !slices.Contains(names, "mac") {
		return nil, refuse(wire.CodeBadRequest, "the list has neither a column serial nor a column mac")
	}
	return out, nil
}

func (c *checklist) readJSON(r io.Reader) error {
	in := json.NewDecoder(r)
	in.DisallowUnknownFields()
	if _, err := in.Token(); err != nil {
		return refuse(wire.CodeBadRequest, "the list is not JSON: %v", err)
	}
	for n := 1; in.More(); n++ {
		var row ExpectedRow
		if err := in.Decode(&row); err != nil {
			return refuse(wire.CodeBadRequest, "the list is not an array of objects with serial, mac, product, hardware, group: entry %d: %v", n, err)
		}
		if err := c.add("entry", n, row); err != nil {
			return err
		}
	}
	if _, err := in.Token(); err != nil {
		return refuse(wire.CodeBadRequest, "the list is cut off: %v", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return refuse(wire.CodeBadRequest, "there is something behind the list")
	}
	return nil
}

// check says what is wrong with a row, and writes its MAC in the one form.
func (r *ExpectedRow) check() error {
	if r.Serial == "" && r.MAC == "" {
		return errors.New("it has neither a serial nor a MAC")
	}
	if err := checkSerial(r.Serial); err != nil {
		return err
	}
	if r.MAC != "" {
		mac, err := ParseMAC(r.MAC)
		if err != nil {
			return err
		}
		r.MAC = mac
	}
	if r.Product != "" {
		if err := firmware.CheckProduct(r.Product); err != nil {
			return err
		}
	}
	if r.Hardware != "" {
		if err := firmware.CheckHardware(r.Hardware); err != nil {
			return err
		}
	}
	if r.Group != "" {
		return store.CheckGroup(r.Group)
	}
	return nil
}

func checkSerial(s string) error {
	if len(s) > wire.MaxName {
		return fmt.Errorf("serial has %d bytes, more than %d", len(s), wire.MaxName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return fmt.Errorf("serial %.40q has characters that cannot be printed", s)
	}
	return nil
}

// ParseMAC reads a MAC of 48 bits in any usual form and returns it as aa:bb:cc:dd:ee:ff. What
// no network card has is refused: zeros, and addresses of groups.
func ParseMAC(text string) (string, error) {
	if len(text) == 12 && !strings.ContainsAny(text, ":-.") {
		text = text[:4] + "." + text[4:8] + "." + text[8:]
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", fmt.Errorf("MAC %.40q is not six bytes like aa:bb:cc:dd:ee:ff", text)
	}
	if mac[0]&1 != 0 || bytes.Equal(mac, make([]byte, 6)) {
		return "", fmt.Errorf("MAC %s belongs to no single network card", mac)
	}
	return mac.String(), nil
}

// Import puts devices on a tenant's list, or renews what stands there under the same serial.
// What has enrolled stays bound to its key. It may be repeated after an error.
func (d *Director) Import(ctx context.Context, tenant string, rows []ExpectedRow) error {
	note := auditlog.Of(ctx)
	note.Tell("tenant/"+tenant, map[string]any{"devices": len(rows)})
	for batch := range slices.Chunk(rows, importBatch) {
		if err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return d.expect(tx, tenant, batch) }); err != nil {
			return err
		}
	}
	d.Log.Info("expected devices imported", "tenant", tenant, "devices", len(rows))
	return nil
}

func (d *Director) expect(tx *store.Tx, tenant string, rows []ExpectedRow) error {
	if err := hasTenant(tx, tenant); err != nil {
		return err
	}
	for _, r := range rows {
		if err := other(tx, tenant, r); err != nil {
			return err
		}
		if err := tx.AddExpected(store.Expected{Tenant: tenant, Serial: r.Serial, MAC: r.MAC, Product: r.Product, Hardware: r.Hardware,
			Group: r.Group, Added: d.now()}); err != nil {
			return err
		}
	}
	return nil
}

// other refuses a MAC that stands under another serial.
func other(tx *store.Tx, tenant string, r ExpectedRow) error {
	if r.MAC == "" {
		return nil
	}
	e, err := tx.Expected(tenant, "", r.MAC)
	if errors.Is(err, store.ErrNotFound) || err == nil && e.Serial == r.Serial {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse(wire.CodeConflict, "MAC %s stands on the list under serial %q, and now under %q: remove the one that is wrong with fairlead-repo enroll remove", r.MAC, e.Serial, r.Serial)
}

// RemoveExpected takes a device off the list. One that has enrolled stays enrolled.
func (d *Director) RemoveExpected(ctx context.Context, tenant string, n int64) error {
	auditlog.Of(ctx).Tell(fmt.Sprintf("expected/%d", n), nil)
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return tx.RemoveExpected(tenant, n) })
	return notFound(err, "number %d is not on the list of tenant %s: look at fairlead-repo enroll list", n, tenant)
}

// byList is the ticket of a device that is expected. Serial and MAC are no secrets: they let
// in the first key that comes with them, and no other; see package store about the binding.
func (e *enrolment) byList(tenant string) (ticket, error) {
	r := e.request
	none := refuse(wire.CodeClaimUnknown, "serial %q with MAC %q is not on the list %.64q as product %s for hardware %s, or that list is not in use: "+
		"ask the operator", r.Serial, r.MAC, tenant, r.Product, r.Hardware)
	mac, err := ParseMAC(r.MAC)
	if err != nil {
		mac = "" // a row that has a MAC will not fit
	}
	if wire.CheckID(tenant) != nil {
		return ticket{}, none
	}
	row, err := e.tx.Expected(tenant, r.Serial, mac)
	if errors.Is(err, store.ErrNotFound) {
		return ticket{}, none
	}
	if err != nil {
		return ticket{}, err
	}
	policy, err := policyOf(e.tx, tenant)
	if err != nil {
		return ticket{}, err
	}
	if !policy.allows(WayList) || !fits(row.Serial, r.Serial) || !fits(row.MAC, mac) || !fits(row.Product, r.Product) || !fits(row.Hardware, r.Hardware) {
		return ticket{}, none
	}
	if len(row.Key) > 0 && !bytes.Equal(row.Key, e.key) {
		return ticket{}, e.cloned(tenant, store.Device{ID: row.Device, Serial: row.Serial, MAC: row.MAC})
	}
	return ticket{way: WayList, tenant: tenant, claim: listClaim, group: row.Group, use: func(_ bool, dev store.Device) error {
		return e.tx.BindExpected(row.N, dev.ID, e.key)
	}}, nil
}

func fits(want, have string) bool { return want == "" || want == have }
