package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	icebergrest "github.com/apache/iceberg-go/catalog/rest"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/varve-lake/varve/tables/fault"
)

// tokenTime bounds the wait for a token.
const tokenTime = 30 * time.Second

// authManager makes the credential into what goes with every request: a token as it is, or client credentials, id:secret,
// that are changed into tokens where oauth2-server-uri says, or else at the catalog itself.
func (cfg Config) authManager(at *url.URL, wire http.RoundTripper) (icebergrest.AuthManager, error) {
	if cfg.Credential == "" {
		return nil, nil
	}
	id, secret, isClient := strings.Cut(cfg.Credential, ":")
	if !isClient {
		return bearer{oauth2.StaticTokenSource(&oauth2.Token{AccessToken: cfg.Credential})}, nil
	}
	if id == "" || secret == "" {
		return nil, errors.New("the credential is to be a token, or client credentials as id:secret")
	}
	tokens := cfg.Props["oauth2-server-uri"]
	if tokens == "" {
		tokens = at.JoinPath("v1", "oauth", "tokens").String()
	}
	flow := clientcredentials.Config{
		ClientID: id, ClientSecret: secret, TokenURL: tokens, Scopes: []string{"catalog"}, AuthStyle: oauth2.AuthStyleInParams,
		EndpointParams: url.Values{},
	}
	if scope := cfg.Props["scope"]; scope != "" {
		flow.Scopes = []string{scope}
	}
	for _, key := range []string{"audience", "resource"} {
		if v := cfg.Props[key]; v != "" {
			flow.EndpointParams.Set(key, v)
		}
	}
	client := &http.Client{Transport: wire, Timeout: tokenTime}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	return bearer{flow.TokenSource(ctx)}, nil
}

// bearer puts a token into the header. That none is to be had is an error with a class: nothing was sent to the catalog.
type bearer struct{ tokens oauth2.TokenSource }

func (b bearer) AuthHeader() (string, string, error) {
	token, err := b.tokens.Token()
	if err == nil {
		return "Authorization", token.Type() + " " + token.AccessToken, nil
	}
	class := fault.ErrPassing
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.Response != nil {
		if code := answered.Response.StatusCode; code/100 == 4 && code != http.StatusTooManyRequests {
			class = fault.ErrDenied
		}
		// The answer's text is left out, whatever its status: it may repeat what it was sent.
		err = fmt.Errorf("the server answers %s to the credentials", answered.Response.Status)
	}
	return "", "", &fault.Error{Class: class, Op: "get a token", Err: err}
}
