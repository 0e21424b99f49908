package catalog

import (
	"encoding/json"
	"net/http"
	"strings"
)

// withoutCredential takes the token out of a refusal that repeats it, before it becomes an error's text.
func withoutCredential(req *http.Request, body []byte) []byte {
	_, token, found := strings.Cut(req.Header.Get("Authorization"), " ")
	if !found || token == "" {
		return body
	}
	var answer any
	if json.Unmarshal(body, &answer) != nil {
		return []byte(strings.ReplaceAll(string(body), token, theCredential))
	}
	if out, err := json.Marshal(without(answer, token)); err == nil {
		return out
	}
	return nil // the status says enough
}

const theCredential = "[the credential]"

// without replaces a text wherever it stands in a JSON value.
func without(v any, text string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, text, theCredential)
	case []any:
		for i := range v {
			v[i] = without(v[i], text)
		}
	case map[string]any:
		for key, member := range v {
			v[key] = without(member, text)
		}
	}
	return v
}
