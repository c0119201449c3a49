package director

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Enroll gives a device its identity. caller is who the connection's certificate says,
// if there is one: it may renew its certificate without a claim.
//
// The same key always gets the same device id, so a device whose answer was lost asks
// again without harm. A serial or MAC that belongs to a device with another key is
// refused: a clone, or a board whose storage was replaced, is for a person to judge
// (revoke the old device, then enrol again).
func (d *Director) Enroll(ctx context.Context, r wire.EnrollRequest, caller *Identity) (wire.EnrollResponse, error) {
	pub, err := checkRequest(r)
	if err != nil {
		return wire.EnrollResponse{}, refuse(wire.CodeBadRequest, "%v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return wire.EnrollResponse{}, refuse(wire.CodeBadRequest, "%v", err)
	}
	var out wire.EnrollResponse
	err = d.Store.Update(ctx, func(tx *store.Tx) error {
		e := enrolment{d: d, tx: tx, request: r, caller: caller, key: keyHash(spki)}
		if err := e.run(); err != nil {
			return err
		}
		out, err = e.answer(pub)
		return err
	})
	d.logEnrolment(r, out, err)
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

// enrolment is one request on its way through the database.
type enrolment struct {
	d       *Director
	tx      *store.Tx
	request wire.EnrollRequest
	caller  *Identity
	key     []byte

	device store.Device
	isNew  bool
}

// run decides which device this is, and whether it may enrol.
func (e *enrolment) run() error {
	claim, err := e.claim()
	if err != nil {
		return err
	}
	known, err := e.tx.DeviceByKey(e.key)
	switch {
	case err == nil:
		return e.again(known, claim)
	case !errors.Is(err, store.ErrNotFound):
		return err
	case e.request.Claim == "":
		return refuse(wire.CodeClaimUnknown, "a new key needs a claim token")
	}
	return e.first(claim)
}

// again is an enrolment with a key that is known: a lost answer, or a renewal.
func (e *enrolment) again(known store.Device, claim store.Claim) error {
	switch {
	case known.Tenant != claim.Tenant:
		return refuse(wire.CodeConflict, "this key belongs to a device of another tenant: make a new key")
	case !known.Revoked.IsZero():
		return refuse(wire.CodeRevoked, "the device with this key was revoked")
	case e.caller != nil && e.request.Claim == "" && e.caller.Device != known.ID:
		return refuse(wire.CodeConflict, "this key belongs to another device")
	case e.request.Claim != "" && known.Claim != claim.ID:
		// Not the answer that was lost: this is another use of a token.
		if err := e.use(claim); err != nil {
			return err
		}
	}
	if err := e.unique(known.ID, claim.Tenant); err != nil {
		return err
	}
	e.device = known
	return nil
}

// first is the enrolment of a new key.
func (e *enrolment) first(claim store.Claim) error {
	if err := e.unique("", claim.Tenant); err != nil {
		return err
	}
	if err := e.use(claim); err != nil {
		return err
	}
	e.isNew = true
	e.device = store.Device{ID: uuid.NewString(), Tenant: claim.Tenant, Claim: claim.ID, Key: e.key, Enrolled: e.d.Clock()}
	return nil
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
		return refuse(wire.CodeConflict, "serial %q or MAC %q is enrolled as device %s with another key: "+
			"if its storage was replaced, revoke that device first", e.request.Serial, e.request.MAC, other.ID)
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
	if e.isNew {
		err = e.tx.AddDevice(dev)
	} else {
		err = e.tx.Reenrol(dev)
	}
	if err != nil {
		return wire.EnrollResponse{}, err
	}
	if e.isNew {
		if err := e.d.issue(e.tx, dev, "", nil); err != nil {
			return wire.EnrollResponse{}, err
		}
	}
	return wire.EnrollResponse{Tenant: dev.Tenant, Device: dev.ID, Certificate: string(cert),
		DirectorRoot: string(root), Expires: expires}, nil
}
