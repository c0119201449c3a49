package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
)

// maxLifetime keeps a slip of the finger from making metadata that never expires.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetime reads --expires.
func lifetime(c *cli.Context) (time.Duration, error) {
	text := c.String("expires")
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n < 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Second || d > maxLifetime {
		return 0, usage("--expires %q: give a time from 1s to %dd, such as 365d or 36h", text, int(maxLifetime.Hours()/24))
	}
	return d, nil
}

// publicKeys reads the keys of a flag.
func publicKeys(c *cli.Context, flag string) ([]signer.Public, error) {
	var keys []signer.Public
	for _, path := range c.StringSlice(flag) {
		key, err := publicKey(c, path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// roleKeys reads a role's keys and threshold. With several keys the threshold has no default: it is what the
// ceremony is about.
func roleKeys(c *cli.Context, keyFlag, thresholdFlag string) (signer.Keys, error) {
	keys, err := publicKeys(c, keyFlag)
	if err != nil {
		return signer.Keys{}, err
	}
	if len(keys) == 0 {
		return signer.Keys{}, usage("--%s is missing", keyFlag)
	}
	if len(keys) > 1 && !c.IsSet(thresholdFlag) {
		return signer.Keys{}, usage("--%s is missing: how many of the %d keys must sign?", thresholdFlag, len(keys))
	}
	return signer.Keys{Keys: keys, Threshold: c.Int(thresholdFlag)}, nil
}
