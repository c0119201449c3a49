package api

import "time"

// Policy is how devices may come in with a tenant: any of token, code, list, custom.
//
//	GET  /api/v1/tenants/{tenant}/enroll-policy      -> Policy
//	PUT  /api/v1/tenants/{tenant}/enroll-policy      Policy -> Policy
type Policy struct {
	Ways []string `json:"ways"`
}

// Imported says how many devices a list had.
//
//	POST /api/v1/tenants/{tenant}/expected           CSV or JSON, see docs/formats.md -> Imported
type Imported struct {
	Devices int `json:"devices"`
}

// Expected is a device that a tenant waits for.
//
//	GET    /api/v1/tenants/{tenant}/expected         ?after ?limit -> ExpectedList
//	DELETE /api/v1/tenants/{tenant}/expected/{n}     -> Done
type Expected struct {
	N        int64     `json:"n"`
	Serial   string    `json:"serial,omitempty"`
	MAC      string    `json:"mac,omitempty"`
	Product  string    `json:"product,omitempty"`  // empty for any
	Hardware string    `json:"hardware,omitempty"` // empty for any
	Group    string    `json:"group,omitempty"`
	Added    time.Time `json:"added"`
	Device   string    `json:"device,omitempty"` // that has come
}

// ExpectedList is a page; Next, if not 0, is the value of ?after for the rest.
type ExpectedList struct {
	Expected []Expected `json:"expected"`
	Next     int64      `json:"next,omitempty"`
}

// Clone is a key in quarantine: it came with the serial of a device that has another one.
//
//	GET  /api/v1/tenants/{tenant}/clones             -> Clones
//	POST /api/v1/tenants/{tenant}/clones/resolve     Resolve -> Clone
type Clone struct {
	Serial string    `json:"serial"`
	Key    string    `json:"key"` // SHA-256 of the public key, hex
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Count  int64     `json:"count"`
	Device string    `json:"device,omitempty"` // that has the serial
}

// Clones is a list, the newest first.
type Clones struct {
	Clones []Clone `json:"clones"`
}

// Resolve ends a quarantine.
type Resolve struct {
	Serial string `json:"serial"`
	Key    string `json:"key,omitempty"` // its beginning; may be left out where there is one
	Accept bool   `json:"accept"`        // it is the device from now on, and the one that was is revoked
}

// NewCode asks for a claim code.
//
//	POST /api/v1/tenants/{tenant}/codes              NewCode -> Code, with the code, this once
//	GET  /api/v1/tenants/{tenant}/codes              -> Codes, without
type NewCode struct {
	Group   string `json:"group,omitempty"`
	Seconds int64  `json:"seconds"` // until it is over; a day at most
}

// Code is a claim code, or what is left of it.
type Code struct {
	ID      string     `json:"id"` // for lists; it says nothing of the code
	Code    string     `json:"code,omitempty"`
	Group   string     `json:"group,omitempty"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Used    *time.Time `json:"used,omitempty"`
	Device  string     `json:"device,omitempty"` // that has used it
}

// Codes is a list, the newest first.
type Codes struct {
	Codes []Code `json:"codes"`
}

// NewCustom asks for a custom device.
//
//	POST   /api/v1/tenants/{tenant}/customs          NewCustom -> Custom, with the key, this once
//	GET    /api/v1/tenants/{tenant}/customs          ?after -> Customs, without
//	POST   /api/v1/tenants/{tenant}/customs/{id}/key -> Custom, with another key
//	DELETE /api/v1/tenants/{tenant}/customs/{id}     -> Done
type NewCustom struct {
	ID       string `json:"id,omitempty"` // UUID; empty for a new one
	Name     string `json:"name,omitempty"`
	Product  string `json:"product"`
	Hardware string `json:"hardware"`
	Group    string `json:"group,omitempty"`
}

// Custom is a device that proves itself by its id and an access key.
type Custom struct {
	ID       string     `json:"id"`
	Key      string     `json:"key,omitempty"` // the access key, only when it is made
	Name     string     `json:"name,omitempty"`
	Product  string     `json:"product,omitempty"`
	Hardware string     `json:"hardware,omitempty"`
	Group    string     `json:"group,omitempty"`
	Created  *time.Time `json:"created,omitempty"`
	Revoked  *time.Time `json:"revoked,omitempty"`
}

// Customs is a page; Next, if not empty, is the value of ?after for the rest.
type Customs struct {
	Customs []Custom `json:"customs"`
	Next    string   `json:"next,omitempty"`
}
