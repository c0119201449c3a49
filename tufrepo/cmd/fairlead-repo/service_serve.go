package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/service"
)

func serveCommand() *cli.Command {
	return serviceLeaf("serve", "serve devices and operators, and keep what is signed online fresh", " ",
		`Examples:

  fairlead-repo serve --repo /srv/fairlead --name updates.example.net
  fairlead-repo serve --repo /srv/fairlead --listen :443 --tls-cert c.pem --tls-key k.pem
  fairlead-repo serve --repo /srv/fairlead --no-broker
  fairlead-repo serve --repo /srv/fairlead --database postgres://fairlead@db.example.net/fairlead
  fairlead-repo serve --repo /srv/fairlead --mqtt mqtts://mqtt.example.net --mqtt-ca ca.pem \
      --mqtt-cert director.pem --mqtt-key director.key

The device port speaks MQTT 5 (by ALPN, and over WebSocket at /mqtt) and HTTPS. Without
--tls-cert the service has its own authority; devices are given its certificate. Files of
--tls-cert are read at the start: restart after renewing them. The operator port is plain HTTP: keep it on this machine, or on a network of operators. Its
token is made at the first start. An interrupt lets what runs come to its end.`,
		serve,
		serviceRepoFlag(),
		&cli.StringFlag{Name: "listen", Usage: "device port, as `HOST:PORT`", Value: ":8443"},
		&cli.StringFlag{Name: "operator", Usage: "operator port, as `HOST:PORT`", Value: "127.0.0.1:9443"},
		keyFileFlag(),
		&cli.StringFlag{Name: "seal-key", Usage: "key management service's `KEY` by which the key file is encrypted; see seal-key", DefaultText: "as the file is", EnvVars: []string{"FAIRLEAD_SEAL_KEY"}},
		&cli.StringFlag{Name: "database", Usage: "`URL` of a PostgreSQL database", DefaultText: "SQLite, in the repository's state folder", EnvVars: []string{"FAIRLEAD_DATABASE"}},
		&cli.StringFlag{Name: "node", Usage: "`NAME` of this service among those that share the database", DefaultText: "the host's name"},
		&cli.BoolFlag{Name: "no-broker", Usage: "HTTPS only; devices poll"},
		&cli.StringFlag{Name: "mqtt", Usage: "`URL` of an MQTT 5 broker that takes the embedded one's place, mqtts://HOST[:PORT]"},
		&cli.StringFlag{Name: "mqtt-ca", Usage: "PEM `FILE` with the authorities of its certificate", DefaultText: "those of the system"},
		&cli.StringFlag{Name: "mqtt-cert", Usage: "PEM `FILE` of the certificate to show it"},
		&cli.StringFlag{Name: "mqtt-key", Usage: "PEM `FILE` of its key"},
		&cli.StringFlag{Name: "mqtt-user", Usage: "`NAME` to give it"},
		&cli.StringFlag{Name: "mqtt-password-file", Usage: "`FILE` with the password to give it"},
		&cli.StringSliceFlag{Name: "name", Usage: "`HOST` in the server certificate; may be repeated"},
		&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` of another server certificate"},
		&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` of its key"},
		&cli.StringFlag{Name: "log-file", Usage: "`FILE` to log to, a new one every day", DefaultText: "stderr"},
		&cli.IntFlag{Name: "log-days", Usage: "keep log files for `N` days", Value: 45},
		&cli.BoolFlag{Name: "verbose", Usage: "log every connection"},
	)
}

// served is what serve prints when it is ready.
type served struct {
	Devices   string `json:"devices"`      // address of the device port
	Operators string `json:"operators"`    // URL of the operator port
	CA        string `json:"ca,omitempty"` // file with the certificate that devices trust
	Token     string `json:"token_file"`   // file with the operator's token
	Broker    bool   `json:"broker"`
}

func serve(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("repo") == "" {
		return serviceUsage("--repo is missing")
	}
	beside, err := brokerBeside(c)
	if err != nil {
		return err
	}
	file, end, err := logFile(c)
	if err != nil {
		return err
	}
	defer end()
	log := serviceLogTo(c, file)
	repo, err := tufrepo.Open(c.String("repo"), tufrepo.Options{Log: log})
	if err != nil {
		return err
	}
	if ref := c.String("seal-key"); ref != "" {
		if _, err := wrapKeyFile(c.Context, repo.Dir(), c.String("key-file"), ref, false); err != nil {
			return err
		}
	}
	node := c.String("node")
	if node == "" && c.String("database") != "" {
		if node, err = os.Hostname(); err != nil {
			return fmt.Errorf("finding a name for this service (--node gives one): %w", err)
		}
	}
	s, err := service.New(c.Context, service.Config{Repo: repo, Database: c.String("database"), Node: node, MQTT: beside, Listen: c.String("listen"), Operator: c.String("operator"),
		Names: c.StringSlice("name"), TLSCert: c.String("tls-cert"), TLSKey: c.String("tls-key"), NoBroker: c.Bool("no-broker"),
		KeyFile: c.String("key-file"), Clock: time.Now, Log: log})
	if err != nil {
		return err
	}
	if err := showServed(c, s); err != nil {
		return err
	}
	return s.Run(c.Context)
}

// logFile is where serve logs to, and what ends it.
func logFile(c *cli.Context) (io.Writer, func(), error) {
	path, days := c.String("log-file"), c.Int("log-days")
	switch {
	case path == "" && c.IsSet("log-days"):
		return nil, nil, serviceUsage("--log-days is of no use without --log-file")
	case path == "":
		return c.App.ErrWriter, func() {}, nil
	case days < 1 || days > 3650:
		return nil, nil, serviceUsage("--log-days are 1 to 3650, not %d", days)
	}
	l, err := service.OpenLogFile(path, days, time.Now, c.App.ErrWriter)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(c.Context)
	ended := make(chan struct{})
	go func() { l.Keep(ctx, time.Hour); close(ended) }()
	return l, func() { cancel(); <-ended; l.Close() }, nil
}

// brokerBeside reads the flags of a broker that is not the embedded one; nil without.
func brokerBeside(c *cli.Context) (*remote.Config, error) {
	if c.String("mqtt") == "" {
		for _, flag := range []string{"mqtt-ca", "mqtt-cert", "mqtt-key", "mqtt-user", "mqtt-password-file"} {
			if c.IsSet(flag) {
				return nil, serviceUsage("--%s is of no use without --mqtt", flag)
			}
		}
		return nil, nil
	}
	broker, err := remote.Parse(c.String("mqtt"))
	if err != nil {
		return nil, serviceUsage("--mqtt: %v", err)
	}
	out := &remote.Config{Broker: broker, User: c.String("mqtt-user"), TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	if out.TLS.RootCAs, err = authorities(c.String("mqtt-ca")); err != nil {
		return nil, err
	}
	if c.String("mqtt-cert") != "" || c.String("mqtt-key") != "" {
		pair, err := tls.LoadX509KeyPair(c.String("mqtt-cert"), c.String("mqtt-key"))
		if err != nil {
			return nil, fmt.Errorf("loading the certificate for the broker (--mqtt-cert and --mqtt-key belong together): %w", err)
		}
		out.TLS.Certificates = []tls.Certificate{pair}
	}
	if file := c.String("mqtt-password-file"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the broker's password: %w", err)
		}
		out.Password = strings.TrimRight(string(b), "\r\n")
	}
	return out, nil
}

// authorities reads PEM certificates; nil, which means those of the system, without a file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the broker's authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

func showServed(c *cli.Context, s *service.Service) error {
	dir := service.StateDir(c.String("repo"))
	out := served{Devices: s.Addr().String(), Operators: "http://" + s.OperatorAddr().String(),
		Token: filepath.Join(dir, service.TokenFile), Broker: !c.Bool("no-broker") && c.String("mqtt") == ""}
	if s.ServerCA() != nil {
		out.CA = filepath.Join(dir, "ca", "server-ca.crt")
	}
	return serviceShow(c, out, func(w io.Writer) {
		fmt.Fprintf(w, "devices\thttps://%s\n", out.Devices)
		fmt.Fprintf(w, "operators\t%s\n", out.Operators)
		if out.CA != "" {
			fmt.Fprintf(w, "authority\t%s\n", out.CA)
		}
		fmt.Fprintf(w, "token\t%s\n", out.Token)
	})
}
