package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
)

// domain keeps a hash of ours from being anything else's. Its last byte ends it.
const domain = "fairlead audit row v1\x00"

// ServiceChain is the name of the chain of what belongs to no tenant.
const ServiceChain = "service"

// TenantChain names the chain of a tenant, which must have passed wire.CheckID.
func TenantChain(tenant string) string { return "tenant/" + tenant }

// CheckChain refuses what [ServiceChain] and [TenantChain] could not have made.
func CheckChain(name string) error {
	if name == ServiceChain {
		return nil
	}
	tenant, ok := strings.CutPrefix(name, "tenant/")
	if !ok {
		return fmt.Errorf("audit chain %.100q is neither service nor tenant/NAME", name)
	}
	if err := wire.CheckID(tenant); err != nil {
		return fmt.Errorf("audit chain %.100q: %w", name, err)
	}
	return nil
}

// Head is the end of a chain: the number and the hash of its last row. It vouches for all
// rows before it.
type Head struct {
	Chain string          `json:"chain"`
	Seq   int64           `json:"seq"` // 0 where there are no rows, Hash is zero then
	Hash  firmware.Digest `json:"hash"`
}

// Start is the head of a chain without rows.
func Start(chain string) Head { return Head{Chain: chain} }

func (h Head) check() error {
	if err := CheckChain(h.Chain); err != nil {
		return err
	}
	if h.Seq < 0 || h.Seq > firmware.MaxCounter || (h.Seq == 0) != h.Hash.IsZero() {
		return fmt.Errorf("head of audit chain %s: number %d does not go with hash %.12s", h.Chain, h.Seq, h.Hash)
	}
	return nil
}

// Row is an entry in its place. All three parts are stored as they are.
type Row struct {
	Prev  firmware.Digest // hash of the row before, zero in the first
	Hash  firmware.Digest
	Entry []byte // encoded; see ParseEntry
}

// Append makes the row of e that follows prev. It sets e.Seq, cuts e.Time to whole seconds
// in UTC, and writes e.Source in its shortest form; an entry that breaks a rule is an error.
func Append(prev Head, e Entry) (Row, Head, error) {
	e.Seq = prev.Seq + 1
	e.Time = e.Time.UTC().Truncate(time.Second)
	e.Source = e.Source.Unmap().WithZone("")
	err := prev.check()
	if err == nil {
		err = e.check()
	}
	if err == nil && !slices.Contains(Actions(), e.Action) {
		err = errors.New("its action is not one of ours")
	}
	if err != nil {
		return Row{}, prev, fmt.Errorf("adding %.64q to the audit log: %w", e.Action, err)
	}
	r := Row{Prev: prev.Hash, Entry: encode(e)}
	r.Hash = hash(prev.Chain, r.Prev, r.Entry)
	return r, Head{Chain: prev.Chain, Seq: e.Seq, Hash: r.Hash}, nil
}

func hash(chain string, prev firmware.Digest, entry []byte) (d firmware.Digest) {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write([]byte{byte(len(chain))})
	h.Write([]byte(chain))
	h.Write(prev[:])
	h.Write(entry)
	h.Sum(d[:0])
	return d
}

// Open reads the entry and checks the row's own hash. It does not look at the rows around
// it: see Verify. With a wrong hash the entry comes with the error.
func (r Row) Open(chain string) (Entry, error) {
	e, err := ParseEntry(r.Entry)
	if err != nil {
		return Entry{}, err
	}
	if hash(chain, r.Prev, r.Entry) != r.Hash {
		return e, errors.New("audit entry: its hash is that of something else")
	}
	return e, nil
}
