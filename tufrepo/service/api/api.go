// Package api is what operators' programs and a service say to each other over the
// operator port: JSON over HTTP, bearer token, paths below /api/v1.
// GET /api/v1/openapi.json says which struct goes in and comes back where, and who may call:
// see package openapi.
//
// Other answers than 200 have the body of wire.ErrorBody. Members are only ever added.
package api

import (
	"encoding/json"
	"time"
)

// Prefix of every path here.
const Prefix = "/api/v1"

// MaxBody bounds a request, in bytes: a chain of director roots, or ids of devices.
const MaxBody = 4 << 20

// NewKey asks for a tenant's online key.
type NewKey struct {
	Rotate bool `json:"rotate,omitempty"` // a successor to the key that the root names
}

// Key is the public half of an online key.
type Key struct {
	ID     string `json:"id"`     // TUF key id
	Public string `json:"public"` // PEM
}

// NewTenant makes a tenant or extends its root chain.
type NewTenant struct {
	Name  string   `json:"name"`
	Roots []string `json:"roots"` // root metadata, consecutive versions
}

// Tenant is an organisation.
type Tenant struct {
	Name    string    `json:"name"`
	Root    int64     `json:"root"` // version of its newest director root
	Devices int64     `json:"devices"`
	Created time.Time `json:"created"`
}

// Tenants is a list.
type Tenants struct {
	Tenants []Tenant `json:"tenants"`
}

// NewClaim asks for a claim token.
type NewClaim struct {
	Tenant  string `json:"tenant"`
	Uses    int64  `json:"uses"`
	Seconds int64  `json:"seconds"`           // until it expires
	Product string `json:"product,omitempty"` // that devices must have; empty for any
	Group   string `json:"group,omitempty"`   // that they will be in
}

// Claim is a claim token, or what is left of it.
type Claim struct {
	ID      string     `json:"id"`
	Tenant  string     `json:"tenant"`
	Token   string     `json:"token,omitempty"` // only when it is made
	Uses    int64      `json:"uses"`            // left
	Expires time.Time  `json:"expires"`
	Created time.Time  `json:"created"`
	Product string     `json:"product,omitempty"`
	Group   string     `json:"group,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"` // withdrawn then
}

// Claims is a list.
type Claims struct {
	Claims []Claim `json:"claims"`
}

// Device is one fleet member.
type Device struct {
	ID         string          `json:"id"`
	Tenant     string          `json:"tenant"`
	Product    string          `json:"product"`
	Hardware   string          `json:"hardware"`
	Serial     string          `json:"serial,omitempty"`
	MAC        string          `json:"mac,omitempty"`
	Agent      string          `json:"agent,omitempty"`
	Version    string          `json:"version,omitempty"`
	Counter    int64           `json:"counter"`
	State      string          `json:"state,omitempty"`
	Online     bool            `json:"online"`
	Direction  int64           `json:"direction"`         // version of its newest direction
	Accepted   int64           `json:"accepted"`          // version that it took last
	Seen       *time.Time      `json:"seen,omitempty"`    // last sign of life
	Enrolled   time.Time       `json:"enrolled"`          //
	Expires    time.Time       `json:"expires"`           // of its certificate
	Revoked    *time.Time      `json:"revoked,omitempty"` //
	ReportedAt *time.Time      `json:"reported_at,omitempty"`
	Reported   json.RawMessage `json:"reported,omitempty"` // wire.Reported

	Group      string            `json:"group,omitempty"`      // path in the tenant's tree
	Zone       string            `json:"zone,omitempty"`       // IANA time zone
	Attributes map[string]string `json:"attributes,omitempty"` // what people note
	CloudOff   bool              `json:"cloud_off,omitempty"`  // its cloud connection is switched off
}

// Devices is a list; Next, if not empty, is the value of ?after for the rest.
type Devices struct {
	Devices []Device `json:"devices"`
	Next    string   `json:"next,omitempty"`
}

// Order directs a release, or nothing if product and version are empty, to devices.
type Order struct {
	Tenant  string   `json:"tenant"`
	Product string   `json:"product,omitempty"`
	Version string   `json:"version,omitempty"`
	Devices []string `json:"devices,omitempty"`
	All     bool     `json:"all,omitempty"`   // every device of the tenant that has the product
	Force   bool     `json:"force,omitempty"` // also what the director believes the device will refuse
}

// Outcome is what became of an order for one device.
type Outcome struct {
	Device  string `json:"device"`
	Serial  string `json:"serial,omitempty"`
	Update  string `json:"update,omitempty"`
	Version int64  `json:"version,omitempty"` // of the direction
	Refused string `json:"refused,omitempty"` // not_found, revoked, wrong_product, wrong_hardware, older_release, agent_too_old
	Detail  string `json:"detail,omitempty"`
}

// Outcomes is a list.
type Outcomes struct {
	Outcomes []Outcome `json:"outcomes"`
}

// Update is one device's attempt at one release.
type Update struct {
	ID      string    `json:"id"`
	Tenant  string    `json:"tenant"`
	Device  string    `json:"device"`
	Serial  string    `json:"serial,omitempty"`
	Product string    `json:"product"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Fetched int64     `json:"fetched"` // bytes over the network
	Written int64     `json:"written"` // bytes to the slot
	Millis  int64     `json:"millis"`
	Done    int64     `json:"done,omitempty"`  // bytes, while it runs
	Total   int64     `json:"total,omitempty"` // bytes, while it runs
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

// Updates is a list.
type Updates struct {
	Updates []Update `json:"updates"`
}
