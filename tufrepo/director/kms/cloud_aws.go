//go:build kms || kms_aws

package kms

import _ "gocloud.dev/secrets/awskms"
