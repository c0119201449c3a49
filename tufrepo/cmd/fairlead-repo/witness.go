package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

func witnessCommand() *cli.Command {
	return serviceLeaf("witness", "cosign the checkpoints of logs, on a machine that is not theirs", " ",
		`Examples:

  fairlead-repo witness --dir /srv/witness --name witness.example.net/fw --policy policy.txt --listen :8090

It cosigns for the logs that the policy names, once each checkpoint is shown to continue the one
before (C2SP tlog-witness, POST add-checkpoint), and keeps what it has seen in its folder: do not
restore that from a backup. Its key is made at the first start. The line that it prints goes into
the policy of those who are to believe it. Put a proxy with TLS in front.`,
		runWitness,
		&cli.StringFlag{Name: "dir", Usage: "`FOLDER` of the witness"},
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the witness, such as witness.example.net/fw; needed at the first start only"},
		&cli.StringFlag{Name: "policy", Usage: "`FILE` that names the logs"},
		&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` to listen at", Value: "127.0.0.1:8090"})
}

// witnessShown is what a witness says of itself when it starts.
type witnessShown struct {
	Key    string `json:"key"` // vkey
	Listen string `json:"listen"`
}

func runWitness(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("dir") == "" || c.String("policy") == "" {
		return serviceUsage("--dir and --policy are needed")
	}
	raw, err := os.ReadFile(c.String("policy"))
	if err != nil {
		return fmt.Errorf("reading the logs: %w", err)
	}
	policy, err := tlog.ParsePolicy(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", c.String("policy"), err)
	}
	skey, err := witnessKey(filepath.Join(c.String("dir"), "witness.key"), c.String("name"))
	if err != nil {
		return err
	}
	w, err := witness.Open(witness.Config{Dir: c.String("dir"), Key: skey, Logs: policy.Logs, Log: serviceLog(c)})
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	listener, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	vkey, err := logkey.Witness(skey)
	if err != nil {
		return err
	}
	shown := witnessShown{vkey, listener.Addr().String()}
	if err := serviceShow(c, shown, func(w io.Writer) {
		fmt.Fprintf(w, "witness NAME %s http://%s\n", shown.Key, shown.Listen)
	}); err != nil {
		return err
	}
	return serveWitness(c.Context, listener, w)
}

func witnessKey(path, name string) (string, error) {
	skey, err := logkey.Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return skey, err
	}
	if name == "" {
		return "", serviceUsage("--name is missing: the witness has no key yet")
	}
	if skey, err = logkey.New(name); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("making the witness's folder: %w", err)
	}
	if err := logkey.Write(durable.Disk{}, path, skey); err != nil {
		return "", fmt.Errorf("making the witness's key: %w", err)
	}
	return skey, nil
}

// serveWitness runs until ctx ends.
func serveWitness(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(finish)
}
