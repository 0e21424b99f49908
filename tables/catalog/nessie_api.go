package catalog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	icebergrest "github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// nessieAPI speaks Nessie's own protocol, version 2, for what Iceberg's has no words for: references and their history.
// It goes through the catalog's transport, with its credential, and to the configured host only.
type nessieAPI struct {
	base *url.URL // ends in /api/v2/
	wire *transport
	auth icebergrest.AuthManager
}

// newNessieAPI takes the protocol's path from what the server says of itself, or else from where it usually is.
func newNessieAPI(at *url.URL, wire *transport, auth icebergrest.AuthManager) *nessieAPI {
	path := strings.TrimSuffix(strings.TrimRight(at.Path, "/"), "/iceberg") + "/api"
	if core, err := url.Parse(wire.server()["nessie.core-base-uri"]); err == nil && core.Path != "" {
		path = strings.TrimRight(core.Path, "/")
	}
	base := *at
	base.Path, base.RawPath, base.RawQuery = path+"/v2/", "", ""
	return &nessieAPI{base: &base, wire: wire, auth: auth}
}

func (n *nessieAPI) branch() string {
	n.wire.mu.Lock()
	defer n.wire.mu.Unlock()
	return n.wire.ref
}

type nessieReference struct{ Type, Name, Hash string }

func (n *nessieAPI) references(ctx context.Context) ([]Reference, error) {
	var out []Reference
	for query := (url.Values{}); ; {
		var answer struct {
			Token      string
			HasMore    bool
			References []nessieReference
		}
		if err := n.call(ctx, http.MethodGet, "trees", query, nil, &answer); err != nil {
			return nil, err
		}
		for _, r := range answer.References {
			out = append(out, Reference{Name: r.Name, Hash: r.Hash, Tag: r.Type == "TAG"})
		}
		if !answer.HasMore {
			return out, nil
		}
		query.Set("page-token", answer.Token)
	}
}

func (n *nessieAPI) reference(ctx context.Context, name string) (nessieReference, error) {
	var answer struct{ Reference nessieReference }
	err := n.call(ctx, http.MethodGet, "trees/"+url.PathEscape(name), nil, nil, &answer)
	return answer.Reference, err
}

func (n *nessieAPI) create(ctx context.Context, name, from string) (bool, error) {
	source, err := n.reference(ctx, from)
	if err != nil {
		return false, err
	}
	err = n.call(ctx, http.MethodPost, "trees", url.Values{"type": {"BRANCH"}, "name": {name}}, source.json(), nil)
	if fault.Class(err) == fault.ErrConflict {
		if _, absent := n.reference(ctx, name); absent == nil {
			return false, nil
		}
	}
	return err == nil, err
}

func (r nessieReference) json() map[string]string {
	return map[string]string{"type": r.Type, "name": r.Name, "hash": r.Hash}
}

// drop removes a branch that stands at a hash, which the server checks; without a hash, wherever it stands.
func (n *nessieAPI) drop(ctx context.Context, name, hash string) error {
	r, err := n.reference(ctx, name)
	if err == nil {
		r.Hash = cmp.Or(hash, r.Hash)
		err = n.call(ctx, http.MethodDelete, "trees/"+url.PathEscape(r.Name+"@"+r.Hash), url.Values{"type": {r.Type}}, nil, nil)
	}
	if fault.Class(err) == fault.ErrAbsent {
		return nil
	}
	return err
}

// mergeAttempts bounds how often a merge is asked for anew since the branch that it goes into moved on meanwhile.
const mergeAttempts = 20

func (n *nessieAPI) merge(ctx context.Context, from, into string, seen []string) (Merged, error) {
	for attempt := 1; ; attempt++ {
		source, err := n.reference(ctx, from)
		if err == nil {
			source.Hash, err = n.newest(ctx, source, seen)
		}
		if err != nil {
			return Merged{}, err
		}
		target, err := n.reference(ctx, into)
		if err != nil {
			return Merged{}, err
		}
		if fresh, err := n.fresh(ctx, target.Name+"@"+target.Hash); err != nil {
			return Merged{}, err
		} else if fresh { // which has no ancestor in common with anything, so that it is pointed elsewhere instead
			err = n.call(ctx, http.MethodPut, "trees/"+url.PathEscape(target.Name+"@"+target.Hash), url.Values{"type": {target.Type}}, source.json(), nil)
			return Merged{source.Hash, err == nil && source.Hash != target.Hash}, err
		}
		var answer struct{ WasApplied, WasSuccessful bool }
		body := map[string]string{"fromRefName": source.Name, "fromHash": source.Hash}
		err = n.call(ctx, http.MethodPost, "trees/"+url.PathEscape(target.Name+"@"+target.Hash)+"/history/merge", nil, body, &answer)
		if err == nil && !answer.WasSuccessful {
			return Merged{}, &fault.Error{Class: fault.ErrConflict, Op: "nessie", Err: fmt.Errorf("the server did not merge")}
		}
		// Others may commit to the target all the time. A conflict is one that stays when nothing has moved.
		now, moved := n.reference(ctx, into)
		if fault.Class(err) != fault.ErrConflict || moved != nil || now.Hash == target.Hash || attempt == mergeAttempts {
			return Merged{source.Hash, answer.WasApplied}, err
		}
	}
}

// newest is the newest of some commits in a branch's history; without any, the one that it names.
func (n *nessieAPI) newest(ctx context.Context, branch nessieReference, of []string) (string, error) {
	if len(of) == 0 || slices.Contains(of, branch.Hash) {
		return branch.Hash, nil
	}
	for query := (url.Values{}); ; {
		var page nessieLog
		if err := n.call(ctx, http.MethodGet, "trees/"+url.PathEscape(branch.Name+"@"+branch.Hash)+"/history", query, nil, &page); err != nil {
			return "", err
		}
		for _, e := range page.LogEntries {
			if slices.Contains(of, e.CommitMeta.Hash) {
				return e.CommitMeta.Hash, nil
			}
		}
		if !page.HasMore {
			return "", &fault.Error{Class: fault.ErrConflict, Op: "nessie", Err: fmt.Errorf("branch %s has no commit %s any more", branch.Name, strings.Join(of, " or "))}
		}
		query.Set("page-token", page.Token)
	}
}

// fresh tells a branch, or a commit as branch@hash, to which nothing was ever committed.
func (n *nessieAPI) fresh(ctx context.Context, ref string) (bool, error) {
	var answer struct{ LogEntries []json.RawMessage }
	err := n.call(ctx, http.MethodGet, "trees/"+url.PathEscape(ref)+"/history", url.Values{"max-records": {"1"}}, nil, &answer)
	return len(answer.LogEntries) == 0, err
}

type nessieLog struct {
	Token      string
	HasMore    bool
	LogEntries []struct {
		CommitMeta struct {
			Hash       string
			CommitTime time.Time
		}
		Operations []struct {
			Type    string
			Key     struct{ Elements []string }
			Content struct{ SnapshotID int64 }
		}
	}
}

// log pages through the commits of a reference that put or deleted a table. The page size is the server's own.
func (n *nessieAPI) log(ctx context.Context, ref string, ident table.Identifier) iter.Seq2[Revision, error] {
	query := url.Values{"fetch": {"ALL"}, "filter": {fmt.Sprintf("operations.exists(op, op.key == '%s')", strings.ReplaceAll(dotted(ident), "'", `\'`))}}
	return func(yield func(Revision, error) bool) {
		for {
			var page nessieLog
			if err := n.call(ctx, http.MethodGet, "trees/"+url.PathEscape(ref)+"/history", query, nil, &page); err != nil {
				yield(Revision{}, err)
				return
			}
			for _, e := range page.LogEntries {
				for _, op := range e.Operations {
					if dotted(op.Key.Elements) != dotted(ident) || op.Type == "UNCHANGED" {
						continue
					}
					r := Revision{e.CommitMeta.Hash, e.CommitMeta.CommitTime.UTC(), op.Content.SnapshotID, op.Type == "DELETE"}
					if !yield(r, nil) {
						return
					}
				}
			}
			if !page.HasMore {
				return
			}
			query.Set("page-token", page.Token)
		}
	}
}

// call makes a request, one that reads again after a passing fault. Its errors have a class; what the server says stands in their text.
func (n *nessieAPI) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	if method != http.MethodGet {
		return n.once(ctx, method, path, query, body, into)
	}
	return again(ctx, reads, func() error {
		err := n.once(ctx, method, path, query, body, into)
		if broken := (*transportError)(nil); errors.As(err, &broken) {
			return fault.New(fault.ErrPassing, "nessie", err)
		}
		return err
	})
}

func (n *nessieAPI) once(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var sent io.Reader
	if body != nil {
		content, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(content)
	}
	at := n.base.String() + path
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, at, sent)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if n.auth != nil {
		key, value, err := n.auth.AuthHeader()
		if err != nil {
			return err
		}
		req.Header.Set(key, value)
	}
	resp, err := n.wire.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return nessieFault(resp, answer)
	}
	if into == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}

func nessieFault(resp *http.Response, answer []byte) error {
	var said struct{ Message, ErrorCode string }
	if json.Unmarshal(answer, &said) != nil || said.Message == "" {
		said.Message = "the server answers " + resp.Status
	}
	err := fmt.Errorf("%s", said.Message)
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		return &fault.Error{Class: fault.ErrAbsent, Op: "nessie", Err: err}
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return &fault.Error{Class: fault.ErrDenied, Op: "nessie", Err: err}
	case code == http.StatusConflict:
		return &fault.Error{Class: fault.ErrConflict, Op: "nessie", Err: err}
	case code >= 500:
		return &fault.Error{Class: fault.ErrPassing, Op: "nessie", Err: err}
	}
	return err
}
