package director

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Caller is who asks for an enrolment.
type Caller struct {
	Identity            // by the certificate of the connection; zero for none
	Source   netip.Addr // zero if it is not known
}

// Enroll gives a device its identity. A caller with a certificate may renew it without a
// claim; nil is a caller of whom nothing is known.
//
// The claim is a claim token, a claim code, or "list:" and a tenant's name, for a device that
// stands on a list of serials and MACs. The tenant's policy says which of them it takes.
//
// The same key always gets the same device id, so a device whose answer was lost asks
// again without harm. A serial or MAC that belongs to a device with another key is
// refused, and the key put into quarantine: a clone, or a board whose storage was replaced,
// is for a person to judge; see [Director.Resolve].
func (d *Director) Enroll(ctx context.Context, r wire.EnrollRequest, caller *Caller) (wire.EnrollResponse, error) {
	if caller == nil {
		caller = &Caller{}
	}
	out, err := d.enroll(ctx, r, *caller)
	d.logEnrolment(r, out, err)
	return out, err
}

func (d *Director) enroll(ctx context.Context, r wire.EnrollRequest, caller Caller) (out wire.EnrollResponse, err error) {
	pub, err := checkRequest(r)
	if err != nil {
		return out, refuse(wire.CodeBadRequest, "%v", err)
	}
	key, err := KeyHash(pub)
	if err != nil {
		return out, refuse(wire.CodeBadRequest, "%v", err)
	}
	if mac, err := ParseMAC(r.MAC); err == nil { // in the one form, so that a clone shows; others stay as they came
		r.MAC = mac
	}
	var code *access.Hash
	if isCode(r.Claim) {
		if code, err = d.tryCode(r.Claim, caller.Source); err != nil {
			return out, err
		}
	}
	var e *enrolment
	err = d.Store.Update(ctx, func(tx *store.Tx) error {
		e = &enrolment{d: d, tx: tx, request: r, caller: caller, key: key, code: code}
		if err := e.run(); err != nil {
			return err
		}
		out, err = e.answer(pub)
		return err
	})
	if err == nil {
		d.stir()
	}
	if e != nil && e.codeFound {
		d.tries.giveBack()
	}
	if e != nil && err != nil && e.clone != nil {
		err = errors.Join(err, d.quarantine(ctx, *e.clone, caller))
	}
	return out, err
}

func checkRequest(r wire.EnrollRequest) (crypto.PublicKey, error) {
	if err := firmware.CheckProduct(r.Product); err != nil {
		return nil, err
	}
	if err := firmware.CheckHardware(r.Hardware); err != nil {
		return nil, err
	}
	return pki.ParseRequest(r.CSR)
}

func (d *Director) logEnrolment(r wire.EnrollRequest, out wire.EnrollResponse, err error) {
	if err != nil {
		d.stats.Refused.Add(1)
		d.Log.Warn("enrolment refused", "serial", r.Serial, "mac", r.MAC, "product", r.Product, "hardware", r.Hardware, "error", err)
		return
	}
	d.stats.Enrolled.Add(1)
	d.Log.Info("device enrolled", "tenant", out.Tenant, "device", out.Device, "serial", r.Serial, "mac", r.MAC)
}

// ticket is what a request has shown to be let in.
type ticket struct {
	way    Way // empty for a renewal
	tenant string
	claim  string // noted with the device
	group  string // that a new device will be in
	// use takes what is counted, for a device that is known, or a new one.
	use func(known bool, dev store.Device) error
}

// enrolment is one request on its way through the database.
type enrolment struct {
	d       *Director
	tx      *store.Tx
	request wire.EnrollRequest
	caller  Caller
	key     []byte
	code    *access.Hash // of a claim code

	id        string // of the device: known, or new
	device    store.Device
	isNew     bool
	codeFound bool
	clone     *store.Clone // what has to go into quarantine
}

// run decides which device this is, and whether it may enrol.
func (e *enrolment) run() error {
	known, err := e.tx.DeviceByKey(e.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if e.id = known.ID; e.id == "" {
		e.id = uuid.NewString()
	}
	t, err := e.ticket()
	if err != nil {
		return err
	}
	if err := e.allowed(t); err != nil {
		return err
	}
	switch {
	case known.ID != "":
		return e.again(known, t)
	case t.way == "":
		return refuse(wire.CodeClaimUnknown, "a new key needs a claim token")
	}
	return e.first(t)
}

// ticket reads the claim. None stands for a renewal by the caller's certificate.
func (e *enrolment) ticket() (ticket, error) {
	claim := e.request.Claim
	switch tenant, listed := strings.CutPrefix(claim, listPrefix); {
	case claim == "" && e.caller.Device != "":
		return ticket{tenant: e.caller.Tenant, use: func(bool, store.Device) error { return nil }}, nil
	case listed:
		return e.byList(tenant)
	case e.code != nil:
		return e.byCode()
	}
	return e.byToken()
}

// allowed asks the tenant's policy.
func (e *enrolment) allowed(t ticket) error {
	if t.way == "" {
		return nil
	}
	p, err := policyOf(e.tx, t.tenant)
	if err == nil && !p.allows(t.way) {
		err = refuse(wire.CodeClaimUnknown, "tenant %s does not take devices by %s: fairlead-repo enroll policy shows and sets what it takes", t.tenant, t.way)
	}
	return err
}

// again is an enrolment with a key that is known: a lost answer, or a renewal.
func (e *enrolment) again(known store.Device, t ticket) error {
	switch {
	case known.Tenant != t.tenant:
		return refuse(wire.CodeConflict, "this key belongs to a device of another tenant: make a new key")
	case !known.Revoked.IsZero():
		return refuse(wire.CodeRevoked, "the device with this key was revoked")
	case t.way == "" && e.caller.Device != known.ID:
		return refuse(wire.CodeConflict, "this key belongs to another device")
	case t.way == WayList && known.Serial != e.request.Serial:
		return refuse(wire.CodeConflict, "this key is enrolled under serial %q: a device has one serial", known.Serial)
	}
	if err := t.use(true, known); err != nil {
		return err
	}
	e.device = known
	return e.unique(known.ID, t.tenant)
}

// first is the enrolment of a new key.
func (e *enrolment) first(t ticket) error {
	if err := e.unique("", t.tenant); err != nil {
		return err
	}
	e.isNew = true
	e.device = store.Device{ID: e.id, Tenant: t.tenant, Claim: t.claim, Group: t.group, Key: e.key, Enrolled: e.d.Clock()}
	return t.use(false, e.device)
}

// unique refuses a serial or MAC that another device has.
func (e *enrolment) unique(self, tenant string) error {
	for _, name := range [][2]string{{e.request.Serial, ""}, {"", e.request.MAC}} {
		other, err := e.tx.DeviceByName(tenant, name[0], name[1])
		if errors.Is(err, store.ErrNotFound) || err == nil && other.ID == self {
			continue
		}
		if err != nil {
			return err
		}
		return e.cloned(tenant, other)
	}
	return nil
}

// answer stores the device and makes the response.
func (e *enrolment) answer(pub crypto.PublicKey) (wire.EnrollResponse, error) {
	r, dev := e.request, e.device
	root, err := e.tx.Root(dev.Tenant, 0)
	if err != nil {
		return wire.EnrollResponse{}, fmt.Errorf("director root of tenant %s: %w", dev.Tenant, err)
	}
	cert, expires, err := e.d.CA.Issue(pub, dev.Tenant, dev.ID)
	if err != nil {
		return wire.EnrollResponse{}, err
	}
	dev.Product, dev.Hardware, dev.Serial, dev.MAC, dev.Agent, dev.Expires = r.Product, r.Hardware, r.Serial, r.MAC, r.Agent, expires
	if err := e.store(dev); err != nil {
		return wire.EnrollResponse{}, err
	}
	return wire.EnrollResponse{Tenant: dev.Tenant, Device: dev.ID, Certificate: string(cert),
		DirectorRoot: string(root), Expires: expires}, nil
}

// store writes the device, the direction of a new one, and who came in.
func (e *enrolment) store(dev store.Device) error {
	action := audit.DeviceRenew
	if e.isNew {
		action = audit.DeviceEnroll
		if err := e.tx.AddDevice(dev); err != nil {
			return err
		}
		if err := e.d.issue(e.tx, dev, "", nil); err != nil {
			return err
		}
	} else if err := e.tx.Reenrol(dev); err != nil {
		return err
	}
	if err := e.d.changed(e.tx, dev.Tenant, dev.ID); err != nil {
		return err
	}
	return auditlog.Append(e.tx, dev.Tenant, e.d.said(audit.Entry{Action: action, Object: "device/" + dev.ID, Source: e.caller.Source,
		Detail: auditlog.Detail(map[string]any{"serial": dev.Serial, "mac": dev.MAC, "product": dev.Product, "claim": dev.Claim})}, dev.ID))
}

// said is an entry of the audit log by a device that has proved who it is.
func (d *Director) said(e audit.Entry, device string) audit.Entry {
	e.Time, e.Outcome, e.Actor = d.now(), audit.OK, audit.Actor{Kind: audit.Device, ID: device}
	e.Source = e.Source.Unmap().WithZone("")
	return e
}
