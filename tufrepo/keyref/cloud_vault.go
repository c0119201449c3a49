//go:build kms || kms_vault

package keyref

import _ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
