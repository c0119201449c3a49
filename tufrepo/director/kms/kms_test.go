package kms_test

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/kms"
)

func TestCheck(t *testing.T) {
	for ref, good := range map[string]bool{
		"awskms://alias/fairlead?region=eu-west-1": true, "hashivault://fairlead": true,
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k": true, "azurekeyvault://v.vault.azure.net/keys/k": true,
		"": false, "hashivault://": false, "hashivault": false, "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=": false,
		"hashivault://a\nb": false, "hashivault://" + strings.Repeat("a", 1024): false,
	} {
		if err := kms.Check(ref); (err == nil) != good {
			t.Errorf("%q: %v", ref, err)
		}
	}
}
