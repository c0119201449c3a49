package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	passphraseEnv = "FAIRLEAD_PASSPHRASE"
	maxPassphrase = 1024
)

func passphraseFlag() cli.Flag {
	return &cli.StringFlag{Name: "passphrase-file", Usage: "read the passphrase from `FILE`; else from " + passphraseEnv + ", else it is asked for"}
}

// passphrase finds the passphrase for a key; a new one is asked for twice. It is never taken from the command line,
// which other users of the machine can read.
func passphrase(c *cli.Context, what string, isNew bool) ([]byte, error) {
	phrase, err := givenPassphrase(c)
	if err == nil && phrase == nil {
		phrase, err = askPassphrase(c.Context, what, isNew)
	}
	if err != nil {
		return nil, err
	}
	if len(phrase) == 0 {
		return nil, fmt.Errorf("the passphrase for %s is empty: give one: %w", what, keyfile.ErrPassphrase)
	}
	return phrase, nil
}

// givenPassphrase is what the file or the environment holds; nil if neither is given.
func givenPassphrase(c *cli.Context) ([]byte, error) {
	path := c.String("passphrase-file")
	if path == "" {
		phrase, ok := os.LookupEnv(passphraseEnv)
		if !ok {
			return nil, nil
		}
		return []byte(phrase), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the passphrase file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("passphrase file %s: %w; run: chmod 600 %s", path, keyfile.ErrPermissions, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase file: %w", err)
	}
	if len(data) > maxPassphrase {
		return nil, fmt.Errorf("passphrase file %s has more than %d bytes: is it the right file?", path, maxPassphrase)
	}
	return bytes.TrimRight(data, "\r\n"), nil
}

func askPassphrase(ctx context.Context, what string, isNew bool) ([]byte, error) {
	tty, err := openTerminal(fmt.Sprintf("no passphrase for %s, and no terminal to ask on: use --passphrase-file or %s", what, passphraseEnv))
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	first, err := readHidden(ctx, tty, "passphrase for "+what+": ")
	if err != nil || !isNew {
		return first, err
	}
	second, err := readHidden(ctx, tty, "the same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, fmt.Errorf("the two passphrases differ; nothing was made")
	}
	return first, nil
}

// openTerminal opens the controlling terminal, so that a pipe on stdin or stdout does not get in the way.
func openTerminal(otherwise string) (*os.File, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%s", otherwise)
	}
	return tty, nil
}

// readHidden reads a line without echo. On an interrupt the echo comes back.
func readHidden(ctx context.Context, tty *os.File, prompt string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("asking for a passphrase: %w", err)
	}
	fmt.Fprint(tty, prompt)
	type answer struct {
		line []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		done <- answer{line, err}
	}()
	select {
	case a := <-done:
		fmt.Fprintln(tty)
		return a.line, a.err
	case <-ctx.Done():
		fmt.Fprintln(tty)
		return nil, fmt.Errorf("asking for a passphrase: %w", contextAfter(ctx, term.Restore(fd, before)))
	}
}

func contextAfter(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return ctx.Err()
}

// confirm asks a yes-or-no question; anything but y or yes is no.
func confirm(ctx context.Context, question string) (bool, error) {
	tty, err := openTerminal("there is no terminal to ask on: add --yes if you have read what is signed")
	if err != nil {
		return false, err
	}
	defer tty.Close()
	fmt.Fprintf(tty, "%s [y/N] ", question)
	done := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(tty).ReadString('\n')
		done <- line
	}()
	select {
	case line := <-done:
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
