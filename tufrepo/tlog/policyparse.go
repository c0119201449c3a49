package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
)

// keyLengths are the types of keys of C2SP signed-note that a policy may name,
// and how long such a key is, its type included.
type keyLengths map[byte]int

var (
	logKeys     = keyLengths{0x01: 1 + ed25519.PublicKeySize}                 // Ed25519
	witnessKeys = keyLengths{0x04: 1 + ed25519.PublicKeySize, 0x06: 1 + 1312} // Ed25519, ML-DSA-44
)

// policyParser reads one policy, line by line.
type policyParser struct {
	*Policy
	names map[string]quorum // witnesses and groups so far
	keys  map[string]bool   // public keys so far
	count map[string]int    // lines of a keyword
}

// ParsePolicy reads a policy (C2SP tlog-policy). What the specification does not
// allow is refused, and so are more than 32 logs, witnesses or groups.
func ParsePolicy(raw []byte) (*Policy, error) {
	if len(raw) > MaxPolicy {
		return nil, fmt.Errorf("a log policy of %d bytes; at most %d are allowed", len(raw), MaxPolicy)
	}
	if i := bytes.IndexFunc(raw, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }); i >= 0 {
		return nil, fmt.Errorf("log policy: byte %d is a control character", i)
	}
	if len(raw) == 0 || raw[len(raw)-1] != '\n' {
		return nil, errors.New("log policy: it does not end with a newline")
	}
	p := &policyParser{
		Policy: &Policy{id: firmware.Sum(raw)},
		names:  map[string]quorum{}, keys: map[string]bool{}, count: map[string]int{},
	}
	for i, line := range strings.Split(string(raw), "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("log policy, line %d: %w", i+1, err)
		}
	}
	if p.count["quorum"] != 1 {
		return nil, errors.New("log policy: it has no quorum line; \"quorum none\" asks for no witnesses")
	}
	return p.Policy, nil
}

func (p *policyParser) line(line string) error {
	f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return nil
	}
	word, args := f[0], f[1:]
	if p.count[word]++; p.count[word] > most {
		return fmt.Errorf("more than %d lines of %q", most, word)
	}
	switch word {
	case "log":
		return p.log(args)
	case "witness":
		return p.witness(args)
	case "group":
		return p.group(args)
	case "quorum":
		return p.setQuorum(args)
	}
	return fmt.Errorf("%.40q is not log, witness, group or quorum", word)
}

func (p *policyParser) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("want: log VKEY [URL]")
	}
	if err := p.key(args[0], logKeys); err != nil {
		return err
	}
	v, err := note.NewVerifier(args[0])
	if err != nil {
		return fmt.Errorf("key of the log: %w", err)
	}
	l := Log{Origin: v.Name(), Key: args[0], verifier: v}
	if _, twice := p.Log(l.Origin); twice {
		return fmt.Errorf("log %.80q stands there twice", l.Origin)
	}
	l.URL, err = address(args[1:])
	p.Logs = append(p.Logs, l)
	return err
}

func (p *policyParser) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("want: witness NAME VKEY [URL]")
	}
	if err := p.key(args[1], witnessKeys); err != nil {
		return err
	}
	v, err := f_note.NewVerifierForCosignatureV1(args[1])
	if err != nil {
		return fmt.Errorf("key of witness %.80q: %w", args[0], err)
	}
	w := Witness{Name: args[0], Key: args[1], verifier: v}
	if w.URL, err = address(args[2:]); err != nil {
		return err
	}
	p.Witnesses = append(p.Witnesses, w)
	return p.define(w.Name, single(w.Name))
}

// key refuses a key of another type, one whose hash does not fit, and one that
// stands there already.
func (p *policyParser) key(vkey string, allowed keyLengths) error {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, text, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) == 0 || name == "" {
		return fmt.Errorf("%.80q is not a key in the form NAME+HASH+BASE64", vkey)
	}
	if length, ok := allowed[raw[0]]; !ok || len(raw) != length {
		return fmt.Errorf("key of %.80q, of %d bytes and signature type %#02x, has no place there: a log's type is 0x01, a witness's 0x04 or 0x06", name, len(raw), raw[0])
	}
	if sum := firmware.Sum(append([]byte(name+"\n"), raw...)); hash != sum.String()[:8] {
		return fmt.Errorf("key of %.80q: its hash is %s, not %.8q", name, sum.String()[:8], hash)
	}
	if p.keys[string(raw[1:])] {
		return fmt.Errorf("the key of %.80q stands there twice", name)
	}
	p.keys[string(raw[1:])] = true
	return nil
}

func address(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	u, err := url.Parse(args[0])
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", fmt.Errorf("%.80q is not an address", args[0])
	}
	return args[0], nil
}

func (p *policyParser) define(name string, q quorum) error {
	if name == "none" {
		return errors.New("the name none is taken")
	}
	if p.names[name] != nil {
		return fmt.Errorf("the name %.80q is given twice", name)
	}
	p.names[name] = q
	return nil
}

func (p *policyParser) group(args []string) error {
	if len(args) < 3 {
		return errors.New("want: group NAME all|any|NUMBER, then a MEMBER or more")
	}
	g := &group{name: args[0]}
	members := args[2:]
	for i, name := range members {
		q := p.names[name]
		if q == nil {
			return fmt.Errorf("group %.80q has the member %.80q, which no line before defines", g.name, name)
		}
		if slices.Contains(members[:i], name) || p.count["in "+name] > 0 {
			return fmt.Errorf("%.80q is a member twice: it may count once only", name)
		}
		p.count["in "+name] = 1
		g.members = append(g.members, q)
	}
	if err := g.threshold(args[1]); err != nil {
		return err
	}
	return p.define(g.name, g)
}

func (g *group) threshold(text string) error {
	switch text {
	case "all":
		g.need = len(g.members)
	case "any":
		g.need = 1
	default:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text || n < 1 || n > len(g.members) {
			return fmt.Errorf("group %.80q: threshold %.20q with %d members", g.name, text, len(g.members))
		}
		g.need = n
	}
	return nil
}

func (p *policyParser) setQuorum(args []string) error {
	if len(args) != 1 {
		return errors.New("want: quorum NAME, or quorum none")
	}
	if p.count["quorum"] > 1 {
		return errors.New("a second quorum line")
	}
	if args[0] == "none" {
		return nil
	}
	if p.quorum = p.names[args[0]]; p.quorum == nil {
		return fmt.Errorf("quorum %.80q is not defined by a line before", args[0])
	}
	return nil
}
