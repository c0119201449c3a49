package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/service"
)

func serveCommand() *cli.Command {
	return serviceLeaf("serve", "serve devices and operators, and keep what is signed online fresh", " ",
		`Examples:

  fairlead-repo serve --repo /srv/fairlead --name updates.example.net
  fairlead-repo serve --repo /srv/fairlead --listen :443 --tls-cert c.pem --tls-key k.pem
  fairlead-repo serve --repo /srv/fairlead --no-broker

The device port speaks MQTT 5 (by ALPN, and over WebSocket at /mqtt) and HTTPS. Without
--tls-cert the service has its own authority; devices are given its certificate. Files of
--tls-cert are read at the start: restart after renewing them. The operator port is plain HTTP: keep it on this machine, or on a network of operators. Its
token is made at the first start. An interrupt lets what runs come to its end.`,
		serve,
		serviceRepoFlag(),
		&cli.StringFlag{Name: "listen", Usage: "device port, as `HOST:PORT`", Value: ":8443"},
		&cli.StringFlag{Name: "operator", Usage: "operator port, as `HOST:PORT`", Value: "127.0.0.1:9443"},
		keyFileFlag(),
		&cli.BoolFlag{Name: "no-broker", Usage: "HTTPS only; devices poll"},
		&cli.StringSliceFlag{Name: "name", Usage: "`HOST` in the server certificate; may be repeated"},
		&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` of another server certificate"},
		&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` of its key"},
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
	log := serviceLog(c)
	repo, err := tufrepo.Open(c.String("repo"), tufrepo.Options{Log: log})
	if err != nil {
		return err
	}
	s, err := service.New(c.Context, service.Config{Repo: repo, Listen: c.String("listen"), Operator: c.String("operator"),
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

func showServed(c *cli.Context, s *service.Service) error {
	dir := service.StateDir(c.String("repo"))
	out := served{Devices: s.Addr().String(), Operators: "http://" + s.OperatorAddr().String(),
		Token: filepath.Join(dir, service.TokenFile), Broker: !c.Bool("no-broker")}
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
