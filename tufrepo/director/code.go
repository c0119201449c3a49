package director

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// CodesFile lies in the folder of the online keys and holds the key under which claim codes are
// hashed, sealed. It is made at the first start.
const CodesFile = "codes.secret"

// codeClaim stands with a device that came in with a claim code.
const codeClaim = "code"

// isCode tells a claim code from a claim token, which has a dot, and from a list.
func isCode(claim string) bool { return claim != "" && !strings.ContainsAny(claim, ".:") }

// openCodes loads the key under which claim codes are hashed, or makes it.
func (d *Director) openCodes(ctx context.Context) error {
	path := filepath.Join(d.Keys, CodesFile)
	sealed, err := readSecret(path, maxSealed)
	if errors.Is(err, fs.ErrNotExist) {
		d.codeKey = make([]byte, sha256.Size)
		rand.Read(d.codeKey) // never fails
		return d.writeSealed(ctx, path, d.codeKey)
	}
	if err != nil {
		return fmt.Errorf("key of the claim codes: %w", err)
	}
	d.codeKey, err = d.Seal.Open(ctx, filepath.Base(path), sealed)
	return err
}

// NewCode makes a claim code, which lets one device enrol, once, within life. It is returned
// once and never again.
func (d *Director) NewCode(ctx context.Context, tenant, group string, life time.Duration) (string, store.Code, error) {
	if life < time.Minute || life > access.CodeLife {
		return "", store.Code{}, refuse(wire.CodeBadRequest, "a claim code lasts from a minute to %s: use a claim token for longer", access.CodeLife)
	}
	if err := checkGroup(group); err != nil {
		return "", store.Code{}, err
	}
	code, err := access.NewCode(rand.Reader)
	if err != nil {
		return "", store.Code{}, err
	}
	hash, err := code.Hash(d.codeKey)
	if err != nil {
		return "", store.Code{}, err
	}
	now := d.now()
	c := store.Code{Hash: hash[:], Tenant: tenant, Group: group, Created: now, Expires: now.Add(life)}
	auditlog.Of(ctx).Tell("code/"+codeName(c), map[string]any{"expires": c.Expires, "group": group})
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error { return d.addCode(tx, c) })
	return code.Reveal(), c, err
}

// codeName names a code in lists, and says nothing of it.
func codeName(c store.Code) string { return fmt.Sprintf("%x", c.Hash[:min(len(c.Hash), 6)]) }

// CodeName names a code in lists.
func CodeName(c store.Code) string { return codeName(c) }

func (d *Director) addCode(tx *store.Tx, c store.Code) error {
	if err := hasTenant(tx, c.Tenant); err != nil {
		return err
	}
	alive, err := tx.CountCodes(c.Created)
	if err != nil {
		return err
	}
	if alive >= access.MaxCodes {
		return refuse(wire.CodeBusy, "%d claim codes are alive, and no more are safe: wait until some are used or over, or make a claim token", alive)
	}
	if err := tx.PruneCodes(c.Tenant, c.Created.Add(-access.CodeLife)); err != nil {
		return err
	}
	return tx.AddCode(c)
}

// tryCode reads what somebody typed, within the limits that keep codes from being guessed.
// The try counts until giveBack.
func (d *Director) tryCode(typed string, source netip.Addr) (*access.Hash, error) {
	now := d.Clock()
	if !d.tries.source(sourceName(source), now) {
		return nil, refuse(wire.CodeBusy, "too many claim codes from this address: wait a minute, and read the code once more")
	}
	code, err := access.ParseCode(typed)
	if err != nil {
		return nil, refuse(wire.CodeClaimUnknown, "%v", err)
	}
	if !d.tries.service(now) {
		return nil, refuse(wire.CodeBusy, "too many wrong claim codes are tried on this service: wait a minute, or use a claim token")
	}
	hash, err := code.Hash(d.codeKey)
	return &hash, err
}

// sourceName is an address as it is counted; for IPv6, its /64.
func sourceName(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // the bits fit
		return p.String()
	}
	return a.String()
}

// byCode is the ticket of a claim code. It is used here: a failure later takes that back.
func (e *enrolment) byCode() (ticket, error) {
	c, err := e.tx.UseCode(e.code[:], e.id, e.d.Clock())
	if errors.Is(err, store.ErrNotFound) {
		return ticket{}, refuse(wire.CodeClaimUnknown, "the claim code is not known here, was used, or is over: read it once more, or ask for a new one")
	}
	if err != nil {
		return ticket{}, err
	}
	e.codeFound = true
	return ticket{way: WayCode, tenant: c.Tenant, claim: codeClaim, group: c.Group, use: func(bool, store.Device) error { return nil }}, nil
}
