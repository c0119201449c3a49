package client

import (
	"sync"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
)

// Roots are roots that were verified, for clients in one process which follow the same repositories, as those of a simulated fleet: what one
// of them has verified, byte for byte and after the same root, the others need neither verify nor keep. The zero value is empty. Clients
// that share have the same Limits.
type Roots struct {
	mu    sync.Mutex
	known map[step]verified
}

// step is from a root, or nil, to the next one.
type step struct {
	last *metadata.Metadata[metadata.RootType]
	next firmware.Digest
}

// verified is a root that is not changed any more.
type verified struct {
	root   *metadata.Metadata[metadata.RootType]
	digest string
}

// get is the root that raw is, verified by those who came first. A nil Roots knows none. What fails is not kept.
func (r *Roots) get(raw []byte, last *metadata.Metadata[metadata.RootType], verify func() (verified, error)) (verified, error) {
	if r == nil {
		return verify()
	}
	s := step{last, firmware.Sum(raw)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, known := r.known[s]; known {
		return v, nil
	}
	v, err := verify()
	if err != nil {
		return v, err
	}
	if r.known == nil {
		r.known = map[step]verified{}
	}
	r.known[s] = v
	return v, nil
}
