package client_test

import (
	"bytes"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// TestAmbiguousJSON alters genuine metadata on its way so that go-tuf still
// finds it signed, and another reader would see something else.
func TestAmbiguousJSON(t *testing.T) {
	for name, insert := range map[string]string{
		"a member twice":    `"version":99,`,
		"a list twice":      `"meta":{"snapshot.json":{"version":1}},`,
		"beside signed":     ``,
		"signatures in two": ``,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			r.Publish("timestamp")
			r.Edit("timestamp", func(b []byte) []byte {
				switch name {
				case "beside signed":
					return bytes.Replace(b, []byte(`{`), []byte(`{"signed":{"_type":"timestamp"},`), 1)
				case "signatures in two":
					return bytes.Replace(b, []byte(`{`), []byte(`{"signatures":[],`), 1)
				}
				return bytes.Replace(b, []byte(`"signed":{`), []byte(`"signed":{`+insert), 1)
			})
			d.refuses(client.ErrFormat)
		})
	}
	for name, change := range map[string]func([]byte) []byte{
		"bytes after it": func(b []byte) []byte { return append(b, '{', '}') },
		"a byte order mark": func(b []byte) []byte {
			return append([]byte("\xef\xbb\xbf"), b...)
		},
		"null beside": func(b []byte) []byte { return bytes.Replace(b, []byte(`{`), []byte(`{"x":null,`), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			r.Edit("timestamp", change)
			d.refuses(client.ErrFormat)
		})
	}
}

// TestTwoDelegationsOfOneName: go-tuf would verify both by the keys of the first.
func TestTwoDelegationsOfOneName(t *testing.T) {
	r := newRepo(t)
	r.Delegate("targets", metadata.DelegatedRole{Name: product, Paths: []string{"*/*"}})
	r.PublishAll()
	newDevice(t, r).refuses(client.ErrFormat)
}
