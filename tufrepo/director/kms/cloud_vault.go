//go:build kms || kms_vault

package kms

import _ "gocloud.dev/secrets/hashivault"
