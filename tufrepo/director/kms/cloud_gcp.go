//go:build kms || kms_gcp

package kms

import _ "gocloud.dev/secrets/gcpkms"
