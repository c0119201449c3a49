package service

import (
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
)

// Config says what to serve and where.
type Config struct {
	Repo *tufrepo.Repo
	// Listen is the device port, Operator the operator port, as host:port.
	Listen, Operator string
	// Devices and Operators are ports that somebody else has opened, in the place of Listen and Operator; nil for none. A
	// connection of Devices may be Secured already.
	Devices, Operators net.Listener
	// Names are the host names and addresses in the built-in server certificate, besides
	// localhost, 127.0.0.1 and ::1.
	Names []string
	// TLSCert and TLSKey are PEM files that replace the built-in server certificate.
	TLSCert, TLSKey string
	// KeyFile holds the key under which the service's keys are encrypted on the disk; empty for
	// the one beside the repository. See OpenKeyFile.
	KeyFile string
	// Database is the postgres:// URL of a PostgreSQL database; empty for a file in the state
	// folder.
	Database string
	// Node tells this service from others that share Database; empty for one that does not.
	Node string
	// NoBroker has no embedded broker: HTTPS only, and devices poll.
	NoBroker bool
	// MQTT is a broker beside the service, in the place of the embedded one; nil for none.
	// Backend, Log and, if it is empty, Client are filled in.
	MQTT   *remote.Config
	Clock  func() time.Time
	Log    *slog.Logger
	Limits Limits
}

// Limits protect a service. Zero means the default in brackets.
type Limits struct {
	Connections int           // at once [20000]
	AcceptRate  float64       // new connections, and CONNECTs, in any one second; more of them wait [300]
	EnrollRate  float64       // enrolments per second and remote address [200]
	Handshake   time.Duration // that a connection may take until its first request or CONNECT [10 s]
	Database    int64         // bytes [8 GiB]
	Drain       time.Duration // over which connections are ended at the end [5 s]
	Look        time.Duration // at least, between looks for what is due by itself: turns of rollouts, directions and timestamps that age, a new day of the audit log [1 s to 1 min]
	Recheck     time.Duration // between looks whether another director has withdrawn somebody who is connected here [20 s]
}

func (l Limits) withDefaults() Limits {
	if l.Connections == 0 {
		l.Connections = 20_000
	}
	if l.AcceptRate == 0 {
		l.AcceptRate = 300
	}
	if l.EnrollRate == 0 {
		l.EnrollRate = 200
	}
	if l.Handshake == 0 {
		l.Handshake = 10 * time.Second
	}
	if l.Database == 0 {
		l.Database = 8 << 30
	}
	if l.Recheck == 0 {
		l.Recheck = 20 * time.Second
	}
	if l.Drain == 0 {
		l.Drain = 5 * time.Second
	}
	return l
}

// look is how often to look for something, given how often it is usual.
func (l Limits) look(usual time.Duration) time.Duration { return max(usual, l.Look) }

// Names of files in the state folder.
const (
	TokenFile = "operator.token"
	AddrFile  = "operator.addr"
)

// StateDir is where the service of a repository keeps its state.
func StateDir(repo string) string { return filepath.Join(repo, "state", "service") }
