package servers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Moto starts moto's server of AWS's services, in memory, and returns its address.
func Moto(t testing.TB) string {
	t.Helper()
	dir := Folder(t)
	port := Port(t)
	p := start(t, "moto", []string{"MOTO_ACCOUNT_ID=123456789012"}, filepath.Join(dir, "venv", "bin", "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	uri := fmt.Sprintf("http://127.0.0.1:%d", port)
	p.await(t, answers(uri+"/moto-api/data.json"))
	return uri
}

// MotoS3 starts moto as a server of Amazon's protocol with one bucket. It takes whatever key.
func MotoS3(t testing.TB) S3 {
	t.Helper()
	s := S3{Endpoint: Moto(t), Region: "eu-central-1", Bucket: "lake", AccessKey: "varve-access", SecretKey: "varve-secret-of-s3"}
	where := `<CreateBucketConfiguration><LocationConstraint>` + s.Region + `</LocationConstraint></CreateBucketConfiguration>`
	req, err := http.NewRequest(http.MethodPut, s.Endpoint+"/"+s.Bucket, strings.NewReader(where))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.AccessKey+"/20260101/"+s.Region+"/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("create bucket: %s", resp.Status)
	}
	return s
}

// Glue stands before moto and does what AWS documents of Glue and moto does not: it refuses the update of a table that
// names another version than the current one, and keys that are not the right ones.
type Glue struct {
	URI string
	Key string // access key that is let in, as id:secret

	server string
	mu     sync.Mutex // one update at a time, as the service has it
	drop   atomic.Int64
}

// DropAnswers lets the next n updates of tables take effect, and loses their answers.
func (g *Glue) DropAnswers(n int) { g.drop.Store(int64(n)) }

// NewGlue starts a Glue before moto.
func NewGlue(t testing.TB, moto string) *Glue {
	t.Helper()
	g := &Glue{server: moto, Key: "varve-glue:varve-secret-of-glue"}
	s := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(s.Close)
	g.URI = s.URL
	return g
}

func (g *Glue) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id, _, _ := strings.Cut(g.Key, ":")
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+id+"/") {
		refuse(w, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	update := r.Header.Get("X-Amz-Target") == "AWSGlue.UpdateTable"
	if update {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.current(r, body) {
			refuse(w, "ConcurrentModificationException", "Update table failed due to concurrent modifications.")
			return
		}
	}
	status, header, answer, err := g.forward(r, r.Header.Get("X-Amz-Target"), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if update && g.drop.Add(-1) >= 0 {
		hangUp(w)
		return
	}
	for _, name := range []string{"Content-Type", "X-Amzn-Requestid", "X-Amzn-Errortype"} {
		if v := header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// current tells whether an update names the version that the table has.
func (g *Glue) current(r *http.Request, body []byte) bool {
	var update struct {
		DatabaseName, VersionId string
		TableInput              struct{ Name string }
	}
	if json.Unmarshal(body, &update) != nil {
		return false
	}
	ask, _ := json.Marshal(map[string]string{"DatabaseName": update.DatabaseName, "Name": update.TableInput.Name})
	status, _, answer, err := g.forward(r, "AWSGlue.GetTable", ask)
	var now struct{ Table struct{ VersionId string } }
	return err == nil && status == http.StatusOK && json.Unmarshal(answer, &now) == nil && now.Table.VersionId == update.VersionId
}

func (g *Glue) forward(r *http.Request, target string, body []byte) (int, http.Header, []byte, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, g.server+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	out.Header = r.Header.Clone()
	out.Header.Set("X-Amz-Target", target)
	resp, err := http.DefaultClient.Do(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": message})
}
