package api

import "time"

// Command asks a connected device for something now: check, report-now, ping, pause, resume.
//
//	POST /api/v1/devices/{id}/command                Command -> Commanded
type Command struct {
	Command string `json:"command"`
}

// Commanded is a command that was sent, and what the device has answered to it within 5 seconds.
type Commanded struct {
	ID       string    `json:"id"`
	Expires  time.Time `json:"expires"` // a device that gets it later ignores it
	Answered bool      `json:"answered"`
	OK       bool      `json:"ok"`
	Detail   string    `json:"detail,omitempty"`
}
