package conformance

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestStoreS3Moto holds a second server of Amazon's protocol to the same: one that says what kind of client errors Amazon's
// own would, and that looks at the region.
func TestStoreS3Moto(t *testing.T) {
	s3 := servers.MotoS3(t)
	stores := store.NewStores(*s3Store(s3))
	defer stores.Close()
	RunStore(t, stores, "s3://"+s3.Bucket+"/files")
	t.Run("sources", func(t *testing.T) { runSources(t, stores, "s3://"+s3.Bucket+"/landing") })
}

// TestStoreS3Once: no one replaces a table's metadata file, on servers that offer conditional writes; other files may be.
func TestStoreS3Once(t *testing.T) {
	for name, s3 := range map[string]servers.S3{"versitygw": servers.VersityGW(t), "moto": servers.MotoS3(t)} {
		t.Run(name, func(t *testing.T) {
			seen := &traffic{}
			s3.Endpoint = door(t, s3.Endpoint, seen.look)
			stores := store.NewStores(*s3Store(s3))
			defer stores.Close()
			folder := "s3://" + s3.Bucket + "/once"
			made, err := stores.FS(t.Context(), folder)
			require.NoError(t, err)
			fs := made.(files)
			for _, size := range []int{100, 9 << 20} { // one request, and parts
				meta := fmt.Sprintf("%s/metadata/%d.metadata.json", folder, size)
				require.NoError(t, fs.WriteFile(meta, noise(size)))
				require.ErrorContains(t, fs.WriteFile(meta, noise(size+1)), "another object is there")
				require.NoError(t, fs.WriteFile(meta, noise(size)), "the same again")
				got, err := fs.ReadFile(meta)
				require.NoError(t, err)
				require.Equal(t, noise(size), got)
			}
			require.Positive(t, seen.count(func(r seenRequest) bool { return r.condition == "*" && r.method == http.MethodPut }))
			require.Positive(t, seen.count(func(r seenRequest) bool { return r.method == http.MethodPost && strings.Contains(r.query, "uploads") }), "in parts")
			require.Positive(t, seen.count(func(r seenRequest) bool { return strings.Contains(r.query, "partNumber=2") }))
			require.Zero(t, seen.count(func(r seenRequest) bool { return !strings.HasPrefix(r.path, "/"+s3.Bucket) }), "path style")
			require.Zero(t, seen.count(func(r seenRequest) bool { return !strings.Contains(r.authorization, "/"+s3.Region+"/s3/") }), "the region")
		})
	}
}

// TestStoreS3Credentials: without keys in varve.yaml they come from where AWS's SDK looks for them: the environment, a
// profile of the shared files, and a token that is changed into keys by STS.
func TestStoreS3Credentials(t *testing.T) {
	s3 := servers.MotoS3(t)
	server := s3.Endpoint
	for name, c := range map[string]struct {
		env map[string]string
		key string // a pattern
	}{
		"environment": {map[string]string{"AWS_ACCESS_KEY_ID": "from-environment", "AWS_SECRET_ACCESS_KEY": "s"}, "^from-environment$"},
		"profile":     {map[string]string{"AWS_PROFILE": "lake"}, "^from-profile$"},
		"default":     {nil, "^from-default$"},
		"web identity": {map[string]string{
			"AWS_PROFILE": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/lake", "AWS_WEB_IDENTITY_TOKEN_FILE": "token", "AWS_ROLE_SESSION_NAME": "varve",
		}, "^ASIA"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
				t.Setenv(v, "")
				require.NoError(t, os.Unsetenv(v))
			}
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
			t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
			shared := "[lake]\naws_access_key_id = from-profile\naws_secret_access_key = s\n"
			if name == "default" {
				shared += "[default]\naws_access_key_id = from-default\naws_secret_access_key = s\n"
			}
			require.NoError(t, os.WriteFile(filepath.Join(home, "credentials"), []byte(shared), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(home, "config"), []byte("[profile lake]\nregion = "+s3.Region+"\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(home, "token"), []byte("planted-web-identity"), 0o600))
			sts := &traffic{}
			t.Setenv("AWS_ENDPOINT_URL_STS", door(t, server, sts.look))
			for k, v := range c.env {
				if k == "AWS_WEB_IDENTITY_TOKEN_FILE" {
					v = filepath.Join(home, v)
				}
				t.Setenv(k, v)
			}
			if name == "web identity" {
				require.NoError(t, os.Unsetenv("AWS_PROFILE"))
			}
			seen := &traffic{}
			cfg := store.Config{S3: objects.S3{Endpoint: door(t, server, seen.look), PathStyle: true}}
			if name != "profile" {
				cfg.S3.Region = s3.Region // which a profile may say
			}
			stores := store.NewStores(cfg)
			defer stores.Close()
			uri := "s3://" + s3.Bucket + "/credentials/" + strings.ReplaceAll(name, " ", "-")
			made, err := stores.FS(t.Context(), uri)
			require.NoError(t, err)
			require.NoError(t, made.(files).WriteFile(uri, []byte("x")))
			key := regexp.MustCompile(`Credential=([^/]+)/\d+/` + s3.Region + `/s3/`)
			require.NotEmpty(t, seen.requests)
			for _, r := range seen.requests {
				found := key.FindStringSubmatch(r.authorization)
				require.NotNil(t, found, r.authorization)
				require.Regexp(t, c.key, found[1])
				require.Equal(t, name == "web identity", r.session)
			}
			if name == "web identity" {
				require.Len(t, sts.requests, 1)
				require.Contains(t, sts.requests[0].body, "Action=AssumeRoleWithWebIdentity")
				require.Contains(t, sts.requests[0].body, "WebIdentityToken=planted-web-identity")
			}
		})
	}
}

// traffic is what requests said.
type traffic struct {
	mu       sync.Mutex
	requests []seenRequest
}

type seenRequest struct {
	method, path, query, authorization, condition, body string
	session                                             bool
}

func (x *traffic) look(w http.ResponseWriter, r *http.Request) bool {
	out := seenRequest{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, authorization: r.Header.Get("Authorization"),
		condition: r.Header.Get("If-None-Match"), session: r.Header.Get("X-Amz-Security-Token") != ""}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return false
		}
		out.body = string(body)
		r.Body = io.NopCloser(strings.NewReader(out.body))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests = append(x.requests, out)
	return true
}

func (x *traffic) count(that func(seenRequest) bool) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.requests {
		if that(r) {
			n++
		}
	}
	return n
}
