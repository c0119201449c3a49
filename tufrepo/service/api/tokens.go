package api

import "time"

// CodeForbidden is the code of a refusal beside those of package wire: 403, the caller may be
// there and may not do this.
const CodeForbidden = "forbidden"

// NewToken asks for an API token.
type NewToken struct {
	Name    string `json:"name"` // for people
	Role    string `json:"role"`
	Seconds int64  `json:"seconds,omitempty"` // until it expires; never if it is missing
}

// Token is an API token, without its secret unless it was made just now.
type Token struct {
	ID      string     `json:"id"`
	Tenant  string     `json:"tenant,omitempty"` // empty for one of the service
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Token   string     `json:"token,omitempty"` // only when it is made
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
	Used    *time.Time `json:"used,omitempty"` // last time, to about a minute
}

// Tokens is a list.
type Tokens struct {
	Tokens []Token `json:"tokens"`
}

// NewRole says what a custom role may do.
type NewRole struct {
	Permissions []string `json:"permissions"`
}

// Role is a name for a set of permissions.
type Role struct {
	Name        string   `json:"name"`
	Tenant      string   `json:"tenant,omitempty"` // empty for the service's and the built-in ones
	BuiltIn     bool     `json:"built_in,omitempty"`
	Permissions []string `json:"permissions"`
}

// Roles is a list.
type Roles struct {
	Roles []Role `json:"roles"`
}

// NewGrant lets another organisation into a tenant.
type NewGrant struct {
	To      string `json:"to"`                // a tenant
	Role    string `json:"role"`              // built in, or of the tenant that lets in
	Seconds int64  `json:"seconds,omitempty"` // until it ends by itself; never if it is missing
}

// EndGrant ends one; either side may.
type EndGrant struct {
	Tenant string `json:"tenant"` // that has let in
	To     string `json:"to"`
	Role   string `json:"role"`
}

// Grant is what lets an organisation into a tenant that is not its own.
type Grant struct {
	Tenant  string     `json:"tenant"` // that lets in
	To      string     `json:"to"`
	Role    string     `json:"role"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
}

// Grants is a list.
type Grants struct {
	Given    []Grant `json:"given"`    // by the tenant, ended ones too
	Received []Grant `json:"received"` // by it from others, and not ended
}

// Done is the answer where there is nothing to tell.
type Done struct{}
