//go:build kms || kms_aws || kms_gcp || kms_azure || kms_vault

package kms

import (
	"context"
	"strings"

	"gocloud.dev/secrets"
)

func open(ctx context.Context, ref string) (keeper, error) {
	scheme, _, _ := strings.Cut(ref, "://")
	if !secrets.DefaultURLMux().ValidKeeperScheme(scheme) {
		return nil, missing(ref)
	}
	return secrets.OpenKeeper(ctx, ref)
}
