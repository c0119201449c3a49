package keyref

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// pluginName is the program that loads PKCS #11 modules.
const pluginName = "sigstore-kms-pkcs11"

// Most that a plugin may say, in bytes.
const (
	maxAnswer  = 1 << 20
	maxGrumble = 2 << 10
)

// plugin is a program that speaks sigstore's plugin protocol, version v1.
type plugin struct {
	path  string
	limit time.Duration
}

func findPlugin(limit time.Duration) (plugin, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), pluginName)
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return plugin{beside, limit}, nil
		}
	}
	path, err := exec.LookPath(pluginName)
	if err != nil {
		return plugin{}, fmt.Errorf("keys on tokens need the program %s, which is neither beside this one nor on PATH: make build makes it, where there is a C compiler: %w", pluginName, err)
	}
	return plugin{path, limit}, nil
}

// ask calls one method. A pin of nil gives none.
func (p plugin) ask(ctx context.Context, id string, method *common.MethodArgs, message, pin []byte) (*common.PluginResp, error) {
	deadline := time.Now().Add(p.limit)
	args, err := json.Marshal(common.PluginArgs{
		InitOptions: &common.InitOptions{
			CtxDeadline: &deadline, ProtocolVersion: common.ProtocolVersion, KeyResourceID: id, HashFunc: hashFunc,
			RPCOptions: &common.RPCOptions{},
		},
		MethodArgs: method,
	})
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", pluginName, err)
	}
	var answer common.PluginResp
	if err := p.run(ctx, message, pin, &answer, common.ProtocolVersion, string(args)); err != nil {
		return nil, err
	}
	return &answer, refused(answer.ErrorMessage)
}

// refused turns what a plugin says into an error.
func refused(message string) error {
	switch {
	case message == "":
		return nil
	case strings.HasPrefix(message, tokenuri.WrongPIN), strings.HasPrefix(message, tokenuri.WantsPIN):
		_, rest, _ := strings.Cut(message, ": ")
		return fmt.Errorf("%w: %s", ErrPIN, rest)
	}
	return errors.New(message)
}

// run starts the program and reads one JSON value from it. The exit code says nothing, as in sigstore's client.
func (p plugin) run(ctx context.Context, stdin, pin []byte, answer any, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, args...)
	out, grumble := &bounded{most: maxAnswer}, &bounded{most: maxGrumble, cut: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(stdin), out, grumble, environment(pin)
	// A group of its own, so that what it starts can be killed with it, and an interrupt reaches it through ctx alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return late(pluginName, p.limit)
	case ctx.Err() != nil:
		return ctx.Err()
	case out.over:
		return fmt.Errorf("%s answered with more than %d bytes; is it the right program?", p.path, maxAnswer)
	case err != nil && !errors.As(err, new(*exec.ExitError)):
		return fmt.Errorf("running %s: %w", p.path, err)
	}
	if wrong := json.Unmarshal(out.kept.Bytes(), answer); wrong != nil {
		return fmt.Errorf("%s did not answer in its protocol: %w%s", p.path, errors.Join(err, wrong), said(out, grumble))
	}
	return nil
}

func said(out, grumble *bounded) string {
	text := strings.TrimSpace(grumble.kept.String() + "\n" + out.kept.String())
	if text == "" {
		return "; it said nothing"
	}
	return fmt.Sprintf("; it said: %.300q", text)
}

// environment is this process's, with the PIN and without other secrets.
func environment(pin []byte) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, tokenuri.PINEnv+"=") || strings.HasPrefix(v, "FAIRLEAD_PASSPHRASE=")
	})
	if pin != nil {
		env = append(env, tokenuri.PINEnv+"="+string(pin))
	}
	return env
}

// bounded keeps at most so many bytes. What goes beyond is an error for the writer, or is cut. The buffer is not embedded:
// io.Copy would find its ReadFrom, which knows no bound.
type bounded struct {
	kept bytes.Buffer
	most int
	cut  bool
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.kept.Len()
	if len(p) <= room {
		return b.kept.Write(p)
	}
	b.over = true
	b.kept.Write(p[:room])
	if b.cut {
		return len(p), nil
	}
	return room, errors.New("too long an answer")
}
