package servers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// Protocol is one of HTTP that a lake speaks: the kinds of its requests, and how its servers refuse.
type Protocol struct {
	// Kind names what a request is for; empty is one that no fault is meant for.
	Kind   func(*http.Request) string
	Refuse func(w http.ResponseWriter, status int)
}

// S3Protocol is Amazon's.
var S3Protocol = Protocol{Kind: s3Kind, Refuse: refuseS3}

func s3Kind(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "upload part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create upload"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete upload"
	case r.Method == http.MethodPost && q.Has("delete"):
		return "delete many"
	case r.Method == http.MethodDelete && !q.Has("uploadId"):
		return "delete"
	case r.Method == http.MethodHead:
		return "head"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	case r.Method == http.MethodGet:
		return getKind(r)
	}
	return ""
}

// getKind tells the reads of an object apart: all of it, its end, and a range.
func getKind(r *http.Request) string {
	switch asked := r.Header.Get("Range"); {
	case asked == "":
		return "get"
	case strings.HasPrefix(asked, "bytes=-"):
		return "get of the end"
	}
	return "ranged get"
}

func refuseS3(w http.ResponseWriter, status int) {
	code := map[int]string{500: "InternalError", 503: "SlowDown", 409: "OperationAborted", 412: "PreconditionFailed"}[status]
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as the test asked</Message></Error>`, code)
}

// GCSProtocol is Google's.
var GCSProtocol = Protocol{Kind: gcsKind, Refuse: refuseGCS}

func gcsKind(r *http.Request) string {
	q := r.URL.Query()
	_, object, inBucket := strings.Cut(r.URL.EscapedPath(), "/o")
	switch {
	case r.Method == http.MethodPost && q.Get("uploadType") == "multipart":
		return "put"
	case r.Method == http.MethodPost && q.Get("uploadType") == "resumable" && !q.Has("upload_id"):
		return "create upload"
	case q.Has("upload_id"):
		return "upload part"
	case r.Method == http.MethodDelete && inBucket:
		return "delete"
	case r.Method == http.MethodGet && inBucket && object == "":
		return "list"
	case r.Method == http.MethodGet && q.Get("alt") == "media":
		return getKind(r)
	case r.Method == http.MethodGet && inBucket:
		return "head"
	}
	return ""
}

func refuseGCS(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"as the test asked","errors":[{"message":"as the test asked"}]}}`, status)
}

// RESTProtocol is Iceberg's.
var RESTProtocol = Protocol{Kind: restKind, Refuse: refuseREST}

func restKind(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/v1/config") {
		return "open"
	}
	_, path, found := strings.Cut(r.URL.EscapedPath(), "/namespaces")
	if !found {
		return ""
	}
	// /{namespace}/tables/{table} and its beginnings
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if len(parts) > 2 && parts[1] != "tables" || len(parts) > 3 {
		return ""
	}
	return map[string]string{
		"POST 0": "create namespace", "GET 0": "list namespaces", "HEAD 1": "look for namespace", "GET 1": "look for namespace",
		"POST 2": "create", "GET 2": "list tables", "POST 3": "commit", "GET 3": "load",
	}[fmt.Sprint(r.Method, " ", len(parts))]
}

func refuseREST(w http.ResponseWriter, status int) {
	kind := map[int]string{500: "InternalServerError", 503: "SlowDownException", 409: "CommitFailedException", 412: "PreconditionFailedException"}[status]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":"as the test asked","type":%q,"code":%d}}`, kind, status)
}

// NessieProtocol is Nessie's own, of version 2, for branches and their history.
var NessieProtocol = Protocol{Kind: nessieKind, Refuse: refuseNessie}

func nessieKind(r *http.Request) string {
	_, path, found := strings.Cut(r.URL.EscapedPath(), "/api/v2/trees")
	if !found {
		return ""
	}
	// /{reference}/history/merge and its beginnings
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	return map[string]string{
		"GET 0": "list branches", "POST 0": "create branch", "GET 1": "look for branch", "PUT 1": "point branch", "DELETE 1": "delete branch",
		"GET 2": "history", "POST 3": "merge",
	}[fmt.Sprint(r.Method, " ", len(parts))]
}

func refuseNessie(w http.ResponseWriter, status int) {
	code := map[int]string{500: "UNKNOWN", 503: "SERVICE_UNAVAILABLE", 409: "REFERENCE_CONFLICT", 412: "UNKNOWN"}[status]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"message":"as the test asked","errorCode":%q}`, status, code)
}

// GlueProtocol is that of AWS Glue.
var GlueProtocol = Protocol{Kind: glueKind, Refuse: refuseGlue}

func glueKind(r *http.Request) string {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return map[string]string{
		"GetDatabase": "look for namespace", "CreateDatabase": "create namespace", "GetDatabases": "list namespaces",
		"GetTables": "list tables", "GetTable": "load", "CreateTable": "create", "UpdateTable": "commit",
	}[action]
}

// refuseGlue answers as AWS does, which says a conflict with status 400.
func refuseGlue(w http.ResponseWriter, status int) {
	code := map[int]string{500: "InternalServiceException", 503: "ServiceUnavailable", 409: "ConcurrentModificationException", 412: "PreconditionFailedException"}[status]
	if status == http.StatusConflict {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": "as the test asked"})
}

// First gives a fault to the first request of a kind, and tells whether there was one.
func (p Protocol) First(kind string, fault Fault) (choose func(*http.Request) Fault, met func() bool) {
	var seen atomic.Bool
	choose = func(r *http.Request) Fault {
		if p.Kind(r) == kind && seen.CompareAndSwap(false, true) {
			return fault
		}
		return NoFault
	}
	return choose, seen.Load
}
