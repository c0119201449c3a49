package director

import (
	"bufio"
	"bytes"
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
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

const (
	// MaxImport bounds a list of expected devices, in bytes; MaxImportRows in devices.
	MaxImport     = 16 << 20
	MaxImportRows = 100_000

	// maxComplaints is how many mistakes of a list are told at once.
	maxComplaints = 20
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
