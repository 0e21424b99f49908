package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// plantedWrong is a secret that opens nothing.
const plantedWrong = "planted-wrong-secret"

// lakeOnPostgreSQL also has its files' keys found as AWS's own tools find them, with a session's token, on a store that
// takes one. All that is written there is looked at on its way.
func lakeOnPostgreSQL(t *testing.T, _ servers.S3) place {
	const session = "planted-token-of-a-session"
	pg, s3 := servers.PostgreSQL(t), servers.MotoS3(t)
	p := lakeOnS3(s3, "postgres")
	p.secrets, p.kept = append(p.secrets, pg.Password, session), ""
	bodies := &witness{secrets: p.secrets}
	endpoint := door(t, s3.Endpoint, func(w http.ResponseWriter, r *http.Request) bool {
		if got := r.Header.Get("X-Amz-Security-Token"); got != session {
			http.Error(w, "not "+got, http.StatusForbidden)
			return false
		}
		return bodies.look(w, r)
	})
	t.Cleanup(func() {
		require.Positive(t, bodies.staged, "staged files have been looked at on their way")
		require.Empty(t, bodies.found)
	})
	p.store = fmt.Sprintf("{s3: {region: %s, endpoint: %q, path_style: true}}", s3.Region, endpoint)
	warehouse := "s3://" + s3.Bucket + "/postgres"
	in := fmt.Sprintf("{type: sql, uri: %q, warehouse: %q, credential: {env: %%s}}", pg.URI(), warehouse)
	p.catalog, p.stranger = fmt.Sprintf(in, "VARVE_TEST_PASSWORD"), p.strangerIn(fmt.Sprintf(in, "VARVE_TEST_WRONG"))
	p.env = append(p.env, "VARVE_TEST_PASSWORD="+pg.Password,
		"AWS_ACCESS_KEY_ID="+s3.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3.SecretKey, "AWS_SESSION_TOKEN="+session)
	p.peer = peer(s3, map[string]string{
		"type": "sql", "warehouse": warehouse,
		"uri": fmt.Sprintf("postgresql+psycopg2://%s:%s@127.0.0.1:%d/%s", pg.User, pg.Password, pg.Port, pg.Database),
	})
	return p
}

func lakeOnGlue(t *testing.T, s3 servers.S3) place {
	glue := servers.NewGlue(t, servers.Moto(t))
	p := lakeOnS3(s3, "glue")
	in := fmt.Sprintf("{type: glue, uri: %q, warehouse: \"s3://%s/glue\", credential: {env: %%s}, properties: {glue.region: eu-west-1}}", glue.URI, s3.Bucket)
	p.catalog, p.stranger = fmt.Sprintf(in, "VARVE_TEST_GLUE"), p.strangerIn(fmt.Sprintf(in, "VARVE_TEST_GLUE_WRONG"))
	p.env = append(p.env, "VARVE_TEST_GLUE="+glue.Key, "VARVE_TEST_GLUE_WRONG=someone:"+plantedWrong)
	_, secret, _ := strings.Cut(glue.Key, ":")
	p.secrets = append(p.secrets, secret)
	return p
}

// lakeOnREST has the catalog ask for a token, which it gives for a client's secret, and repeat in its refusals what it was sent.
func lakeOnREST(t *testing.T, s3 servers.S3) place {
	const secret, token = "planted-secret-of-a-client", "planted-token-of-a-client"
	r := servers.IcebergREST(t, s3)
	var given atomic.Int64
	uri := door(t, r.URI, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/oauth/tokens" {
			given.Add(1)
			giveToken(w, r, secret, token)
			return false
		}
		if r.Header.Get("Authorization") == "Bearer "+token {
			return true
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"not %s","type":"NotAuthorizedException","code":401}}`, r.Header.Get("Authorization"))
		return false
	})
	t.Cleanup(func() { require.Positive(t, given.Load(), "no token was asked for") })
	p := lakeOnS3(s3, "rest")
	in := fmt.Sprintf("{type: rest, uri: %q, credential: {env: %%s}}", uri)
	p.catalog, p.stranger = fmt.Sprintf(in, "VARVE_TEST_CLIENT"), p.strangerIn(fmt.Sprintf(in, "VARVE_TEST_CLIENT_WRONG"))
	p.env = append(p.env, "VARVE_TEST_CLIENT=varve:"+secret, "VARVE_TEST_CLIENT_WRONG=varve:"+plantedWrong)
	p.secrets = append(p.secrets, secret, token)
	p.peer = peer(s3, map[string]string{"type": "rest", "uri": r.URI})
	return p
}

// giveToken answers as an OAuth2 server does, but for a refusal that says too much.
func giveToken(w http.ResponseWriter, r *http.Request, secret, token string) {
	w.Header().Set("Content-Type", "application/json")
	if got := r.FormValue("client_secret"); got != secret {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is not the secret"}`, got)
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, token)
}

func lakeOnNessie(t *testing.T, s3 servers.S3) place {
	r := servers.Nessie(t, s3)
	p := lakeOnS3(s3, "nessie")
	p.catalog = fmt.Sprintf("{type: rest, uri: %q, warehouse: %s}", r.URI, r.Warehouse)
	return p
}

// lakeOnGCS has a service account's key be changed into a token. The store's server asks for none.
func lakeOnGCS(t *testing.T, _ servers.S3) place {
	const token = "planted-token-of-an-account"
	g := servers.FakeGCS(t)
	var given atomic.Int64
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/wrong") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"not %s"}`, r.FormValue("assertion"))
			return
		}
		given.Add(1)
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token)
	}))
	t.Cleanup(func() {
		tokens.Close()
		require.Positive(t, given.Load(), "no token was asked for")
	})
	key, right := accountKey(t, tokens.URL+"/right")
	wrongKey, wrong := accountKey(t, tokens.URL+"/wrong")
	in := fmt.Sprintf("{gcs: {endpoint: %q, credential: {env: %%s}}}", g.Endpoint)
	catalog := fmt.Sprintf("{type: sql, uri: \"sqlite:catalog.db\", warehouse: \"gs://%s/lake\"}", g.Bucket)
	return place{
		catalog: catalog, store: fmt.Sprintf(in, "VARVE_TEST_ACCOUNT"),
		stranger: fmt.Sprintf("    catalog: %s\n    store: %s\n", catalog, fmt.Sprintf(in, "VARVE_TEST_ACCOUNT_WRONG")),
		env:      []string{"VARVE_TEST_ACCOUNT=" + right, "VARVE_TEST_ACCOUNT_WRONG=" + wrong},
		landing:  "gs://" + g.Bucket + "/landing", files: &store.Config{GCS: store.GCS{Endpoint: g.Endpoint}},
		secrets: []string{token, key, wrongKey},
	}
}

// accountKey makes a service account's key, and gives a line of its secret part too.
func accountKey(t *testing.T, tokens string) (secret, account string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	out, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "lake", "private_key_id": "1", "private_key": text,
		"client_email": "lake@lake.example", "client_id": "1", "token_uri": tokens,
	})
	require.NoError(t, err)
	return strings.Split(text, "\n")[10], string(out)
}

func lakeOnHDFS(t *testing.T, _ servers.S3) place {
	node := servers.HDFS(t)
	return place{
		catalog: "{type: sql, uri: \"sqlite:catalog.db\", warehouse: \"hdfs:///lake\"}",
		store:   fmt.Sprintf("{hdfs: {namenode: %q, user: lake}}", node),
		landing: "hdfs://" + node + "/landing", files: &store.Config{HDFS: store.HDFS{NameNode: node, User: "lake"}},
	}
}
