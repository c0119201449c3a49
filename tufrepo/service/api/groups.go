package api

import "time"

// Group is a node of a tenant's tree.
type Group struct {
	Path    string    `json:"path"` // site/building/room
	Created time.Time `json:"created"`
	Devices int64     `json:"devices"` // in it and not below
}

// Groups is a list, by path.
type Groups struct {
	Groups []Group `json:"groups"`
}

// GroupOrder is what is asked of a group. Groups above it are made with it.
type GroupOrder struct {
	Path string `json:"path"`
	To   string `json:"to,omitempty"` // move: its new path
	// Devices, of assign, come into it; with an empty path they leave theirs.
	Devices []string `json:"devices,omitempty"`
}

// DeviceEdit changes what people note of a device. Members that are left out stay.
type DeviceEdit struct {
	Zone *string `json:"zone,omitempty"` // IANA time zone; empty for none
	// Attributes replaces single ones; an empty text removes one.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// CloudOrder switches a device's cloud connection.
type CloudOrder struct {
	Off bool `json:"off"`
}
