package agent

import (
	"context"

	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// expectant is the repository of an attempt. It is refreshed for the sake of one release, so that on a long line nothing
// is waited for that could have been asked for before. The policy, and what is verified, are the same.
type expectant struct {
	*client.Client
	a *attempt
}

// Refresh is that of repository.
func (e expectant) Refresh(ctx context.Context) error {
	w := client.Expected{Path: e.a.wish.target.Path}
	if !e.a.wish.local {
		w.Length, w.SHA256 = e.a.wish.target.Length, e.a.wish.target.SHA256
		w.Next = e.a.askFirst
	}
	return e.Client.RefreshFor(ctx, w)
}

// askFirst asks for the beginning of the installation, perhaps by a manifest that only the director vouches for so far. It
// waits in memory, and is dropped if the policy says no. Where the line is not all ours, or the image is not known that a
// patch would be for, nothing is asked for.
func (a *attempt) askFirst(ctx context.Context, m *firmware.Manifest) {
	source, ok := a.source.(client.AheadSource)
	if !ok || a.throttle.Paused() || a.cfg.Rate > 0 || a.runs.is(m) || fits(m, a.wish.target.Path, a.device) != nil {
		return
	}
	p := install.Plan{Manifest: m, Journal: a.path(journalName), Disk: a.o.Disk, Limits: a.o.Limits}
	if a.base != nil {
		if len(m.Patches) > 0 && a.runs.Image.Length == 0 {
			return
		}
		p.Base, p.BaseImage = a.base, a.runs.Image
	}
	askInTurn(ctx, source, install.First(p))
}

// askInTurn asks for one part after the other, so that they take one connection.
func askInTurn(ctx context.Context, source client.AheadSource, parts []install.Part) {
	if len(parts) == 0 {
		return
	}
	var came func([]byte) bool
	if len(parts) > 1 {
		came = func([]byte) bool {
			askInTurn(ctx, source, parts[1:])
			return true
		}
	}
	source.Ahead(ctx, parts[0].Name, parts[0].Offset, parts[0].Length, came)
}
