package tuftest

import (
	"crypto/sha256"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Repo is a repository. Its exported fields are the next version of
// everything; tests change them between requests.
type Repo struct {
	Root      *metadata.Metadata[metadata.RootType]
	Timestamp *metadata.Metadata[metadata.TimestampType]
	Snapshot  *metadata.Metadata[metadata.SnapshotType]
	Targets   map[string]*metadata.Metadata[metadata.TargetsType] // by role, "targets" too
	Keys      map[string][]Key                                    // who signs, by role

	// Hashes says whether parents name length and SHA-256 of metadata.
	Hashes bool
	// Issued, unless zero, goes into timestamps as x-fairlead-issued.
	Issued time.Time
	// Kind is the kind of new keys.
	Kind string
	// Expires is the expiry of new roles.
	Expires time.Time

	mu        sync.Mutex
	published map[string]map[int64][]byte // by role and version
	newest    map[string]int64
	files     map[string][]byte // other files, by name
	requests  []string
	hook      func(name string) *Response
}

// New makes a repository with one ed25519 key per role, everything at version 1
// and expiring at expires.
func New(expires time.Time) *Repo {
	expires = expires.UTC().Truncate(time.Second)
	r := &Repo{
		Root: metadata.Root(expires), Timestamp: metadata.Timestamp(expires), Snapshot: metadata.Snapshot(expires),
		Targets: map[string]*metadata.Metadata[metadata.TargetsType]{metadata.TARGETS: metadata.Targets(expires)},
		Keys:    map[string][]Key{}, Hashes: true, Kind: "ed25519", Expires: expires,
		published: map[string]map[int64][]byte{}, newest: map[string]int64{}, files: map[string][]byte{},
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		r.AddKey(role, NewKey(r.Kind))
	}
	r.Publish(metadata.ROOT)
	r.PublishAll()
	return r
}

// AddKey lets the root name k for a top-level role, and signs the role with it
// from now on.
func (r *Repo) AddKey(role string, k Key) {
	r.Root.Signed.Keys[k.ID] = k.TUF
	r.Root.Signed.Roles[role].KeyIDs = append(r.Root.Signed.Roles[role].KeyIDs, k.ID)
	r.Keys[role] = append(r.Keys[role], k)
}

// Rotate replaces all keys of a top-level role by one new one.
func (r *Repo) Rotate(role string) {
	r.Root.Signed.Roles[role].KeyIDs = nil
	r.Keys[role] = nil
	r.AddKey(role, NewKey(r.Kind))
}

// Delegate adds a delegation at the end of delegator's, with a new key if d has
// none, and makes the role if there is none of that name.
func (r *Repo) Delegate(delegator string, d metadata.DelegatedRole) {
	t := &r.Targets[delegator].Signed
	if t.Delegations == nil {
		t.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	if len(d.KeyIDs) == 0 {
		k := NewKey(r.Kind)
		d.KeyIDs = []string{k.ID}
		t.Delegations.Keys[k.ID] = k.TUF
		r.Keys[d.Name] = append(r.Keys[d.Name], k)
	}
	d.Threshold = max(d.Threshold, 1)
	t.Delegations.Roles = append(t.Delegations.Roles, d)
	if r.Targets[d.Name] == nil {
		r.Targets[d.Name] = metadata.Targets(r.Expires)
	}
}

// AddTarget lets role name content under path, and serves it. Algorithms are
// "sha256" unless named.
func (r *Repo) AddTarget(role, name string, content []byte, algorithms ...string) {
	f, err := metadata.TargetFile().FromBytes(name, content, algorithms...)
	check(err)
	r.Targets[role].Signed.Targets[name] = f
	dir, base := path.Split(name)
	r.Serve("targets/"+name, content)
	for _, h := range f.Hashes {
		r.Serve("targets/"+dir+h.String()+"."+base, content)
	}
}

// PublishAll publishes all targets roles, the snapshot and the timestamp.
func (r *Repo) PublishAll() {
	for role := range r.Targets {
		r.Publish(role)
	}
	r.Publish(metadata.SNAPSHOT, metadata.TIMESTAMP)
}

// Publish signs roles in the order given and serves them. What was published
// before gets the next version. Parents learn of it: they are to be published
// after.
func (r *Repo) Publish(roles ...string) {
	for _, role := range roles {
		switch role {
		case metadata.ROOT:
			publish(r, role, r.Root, &r.Root.Signed.Version)
		case metadata.TIMESTAMP:
			r.setIssued()
			publish(r, role, r.Timestamp, &r.Timestamp.Signed.Version)
		case metadata.SNAPSHOT:
			m := publish(r, role, r.Snapshot, &r.Snapshot.Signed.Version)
			r.Timestamp.Signed.Meta["snapshot.json"] = m
		default:
			m := publish(r, role, r.Targets[role], &r.Targets[role].Signed.Version)
			r.Snapshot.Signed.Meta[role+".json"] = m
		}
	}
}

func (r *Repo) setIssued() {
	if !r.Issued.IsZero() {
		r.Timestamp.Signed.UnrecognizedFields = map[string]any{"x-fairlead-issued": r.Issued.UTC().Format(time.RFC3339)}
	}
}

func publish[T metadata.Roles](r *Repo, role string, md *metadata.Metadata[T], version *int64) *metadata.MetaFiles {
	if _, again := r.newest[role]; again {
		*version++
	}
	md.Signatures = sign(md.Signed, r.Keys[role])
	b, err := md.ToBytes(false)
	check(err)
	r.Put(role, *version, b)
	return r.meta(*version, b)
}

func (r *Repo) meta(version int64, b []byte) *metadata.MetaFiles {
	m := &metadata.MetaFiles{Version: version}
	if r.Hashes {
		sum := sha256.Sum256(b)
		m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	}
	return m
}

// Put serves b as a version of role, and as its newest.
func (r *Repo) Put(role string, version int64, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.published[role] == nil {
		r.published[role] = map[int64][]byte{}
	}
	r.published[role][version], r.newest[role] = b, version
}

// Newest is the version of role published last, and its bytes.
func (r *Repo) Newest(role string) (int64, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest[role], r.published[role][r.newest[role]]
}

// Version is the published bytes of a version of role, or nil.
func (r *Repo) Version(role string, version int64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.published[role][version]
}

// Withdraw stops serving all versions of role; Publish starts at the version
// that the fields have.
func (r *Repo) Withdraw(role string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.published, role)
	delete(r.newest, role)
}

// Edit replaces the newest bytes of role by what f makes of them.
func (r *Repo) Edit(role string, f func([]byte) []byte) {
	version, b := r.Newest(role)
	r.Put(role, version, f(slices.Clone(b)))
}

// Serve lets name answer with b.
func (r *Repo) Serve(name string, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = b
}
