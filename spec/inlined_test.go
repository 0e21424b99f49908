package spec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatLooksLikeASecret(t *testing.T) {
	for uri, holds := range map[string]bool{
		"postgresql://db1:5432,db2:5432/lake?user=varve": false,
		"postgresql://db1,[::1]:5432/lake":               false,
		"hdfs://namenode:8020/a@b:c/*.csv":               false,
		"s3://lake/*.csv":                                false,
		"postgresql://varve:secret@db1:5432,db2:5432/x":  true,
		"s3://id:se,cret/with-a-slash@lake/*.csv":        true,
		"s3://lake,id:secret/*.csv":                      true,
	} {
		require.Equal(t, holds, HoldsCredentials(uri), uri)
	}
	for name, secret := range map[string]bool{
		"token-count": false, "llm.token_count": false, "credential-type": false, "primary-key": false,
		"token": true, "gcs.oauth2.token": true, "adls.sas-token.account": true, "s3.session_token": true, "credential": true,
		"client-secret": true, "secret-key": true, "adls.auth.shared-key.account.key": true, "s3.secret-access-key": true,
		"token.value": true,
	} {
		require.Equal(t, secret, secretProperty(name), name)
	}
}
