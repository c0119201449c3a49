package tokenuri

// Beginnings of a plugin's error messages. The protocol has no codes, and these are acted upon.
const (
	// WrongPIN: the token refused the PIN. Tokens lock themselves after a few, so nobody tries the same again.
	WrongPIN = "wrong PIN: "
	// WantsPIN: there is more on the token than it shows to somebody who has not logged in.
	WantsPIN = "PIN wanted: "
)

// PINEnv is the variable in which a plugin is given a PIN. Only the same user and root can read it there.
const PINEnv = "FAIRLEAD_PIN"

// ListCommand as a plugin's first argument, with a URI as the second, makes it print a Listing as JSON. Sigstore's
// protocol has nothing of the kind.
const ListCommand = "list"

// Listing is what stands on the tokens of a module.
type Listing struct {
	Tokens []Token `json:"tokens"`
	Keys   []Entry `json:"keys"`
	Error  string  `json:"error,omitempty"`
}

// Token is a token that is present.
type Token struct {
	Label        string `json:"label"`
	Serial       string `json:"serial"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
}

// Entry is one key pair.
type Entry struct {
	URI    string `json:"uri"` // leads to this key alone, as far as the token's labels and ids do
	Object string `json:"object"`
	Public []byte `json:"public,omitempty"` // PEM; nil if the key is of a kind that devices cannot verify
	Kind   string `json:"kind,omitempty"`   // what it is, where Public is nil
}
