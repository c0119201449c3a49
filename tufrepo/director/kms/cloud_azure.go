//go:build kms || kms_azure

package kms

import _ "gocloud.dev/secrets/azurekeyvault"
