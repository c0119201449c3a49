//go:build kms || kms_aws

package keyref

import _ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
