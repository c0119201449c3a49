package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxHooks = 256
	// drain is how long a hook's output is waited for after its group was killed: a child that left the group may hold
	// the pipe open for ever.
	drain = time.Second
)

// findHooks lists the hooks of a folder in the order of their names, each proved fit to be run.
func findHooks(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hooks: %w", err)
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	var hooks []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := checkHook(path); err != nil {
			return nil, err
		}
		hooks = append(hooks, path)
	}
	if len(hooks) > maxHooks {
		return nil, fmt.Errorf("%s holds %d hooks, at most %d are run", dir, len(hooks), maxHooks)
	}
	return hooks, nil
}

func checkHook(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at hook: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("hook %s is not a regular file; move it elsewhere", path)
	}
	if info.Mode()&0o111 == 0 {
		return fmt.Errorf("hook %s is not executable; chmod +x it, or move it elsewhere", path)
	}
	return checkOwner(path)
}

// checkOwner refuses what somebody without the agent's rights could have changed.
func checkOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at hooks: %w", err)
	}
	if info.Mode()&0o022 != 0 {
		return fmt.Errorf("%s can be changed by its group or by others; chmod go-w it", path)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who is neither root nor the agent's user; chown it", path, st.Uid)
	}
	return nil
}

// hook makes a check of an executable.
func (c *Config) hook(path string) probe {
	env := append([]string{
		"PATH=" + hookPath,
		"FAIRLEAD_PRODUCT=" + c.Product,
		"FAIRLEAD_VERSION=" + c.Version,
		"FAIRLEAD_SLOT=" + c.Slot,
	}, c.Env...)
	return probe{filepath.Base(path), func(ctx context.Context) (string, error) { return runHook(ctx, path, env) }}
}

// runHook runs one executable in a process group of its own and leaves nothing of that group alive.
func runHook(ctx context.Context, path string, env []string) (string, error) {
	var out tail
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killGroup := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = killGroup, drain
	err := cmd.Start()
	if err == nil {
		err = waitHook(cmd, killGroup)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("killed: %w", cause)
	}
	return out.String(), err
}

// waitHook waits for the executable, then kills what it left running. A child left behind that holds the output open is
// not the hook's failure.
func waitHook(cmd *exec.Cmd, killGroup func() error) error {
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		err = nil
	}
	if kill := killGroup(); kill != nil && !errors.Is(kill, syscall.ESRCH) && err == nil {
		return fmt.Errorf("killing what the hook left running: %w", kill)
	}
	return err
}
