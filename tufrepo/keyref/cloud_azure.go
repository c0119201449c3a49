//go:build kms || kms_azure

package keyref

import _ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
