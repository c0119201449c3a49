//go:build kms || kms_gcp

package keyref

import _ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
