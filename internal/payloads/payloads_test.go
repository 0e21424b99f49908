package payloads_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/internal/payloads"
)

var (
	older = bytes.Repeat([]byte{1}, 32)
	newer = bytes.Repeat([]byte{2}, 32)
)

func codec(t *testing.T, use string, keys map[string][]byte) *payloads.Codec {
	t.Helper()
	c, err := payloads.NewCodec(use, keys)
	require.NoError(t, err)
	return c
}

func TestWhatIsEncodedIsNotInTheClear(t *testing.T) {
	data, _ := payloads.Converters(codec(t, "older", map[string][]byte{"older": older}))
	first, err := data.ToPayload("planted")
	require.NoError(t, err)
	require.Equal(t, "binary/encrypted", string(first.Metadata["encoding"]))
	require.Equal(t, "older", string(first.Metadata["encryption-key-id"]))
	require.NotContains(t, first.String(), "planted")
	second, err := data.ToPayload("planted")
	require.NoError(t, err)
	require.NotEqual(t, first.Data, second.Data, "each has a nonce of its own")
	for _, p := range []*commonpb.Payload{first, second} {
		var text string
		require.NoError(t, data.FromPayload(p, &text))
		require.Equal(t, "planted", text)
	}
}

func TestRotation(t *testing.T) {
	before, _ := payloads.Converters(codec(t, "older", map[string][]byte{"older": older}))
	both, _ := payloads.Converters(codec(t, "newer", map[string][]byte{"older": older, "newer": newer}))
	after, _ := payloads.Converters(codec(t, "newer", map[string][]byte{"newer": newer}))
	none, _ := payloads.Converters(nil)
	was, err := before.ToPayload("planted")
	require.NoError(t, err)
	is, err := both.ToPayload("planted")
	require.NoError(t, err)
	plain, err := none.ToPayload("planted")
	require.NoError(t, err)
	var text string
	for _, p := range []*commonpb.Payload{was, is, plain} {
		require.NoError(t, both.FromPayload(p, &text))
		require.Equal(t, "planted", text)
	}
	require.NoError(t, after.FromPayload(is, &text), "the new key encrypts")
	err = after.FromPayload(was, &text)
	require.ErrorIs(t, err, payloads.ErrUnknownKey)
	require.ErrorContains(t, err, `encrypted with the key "older": unknown encryption key: the keys are "newer"`)
	err = none.FromPayload(was, &text)
	require.ErrorIs(t, err, payloads.ErrUnknownKey)
	require.ErrorContains(t, err, `encrypted with the key "older": unknown encryption key: the environment names none (temporal.encryption)`)
}

func TestWhatItsKeyHasNotEncryptedIsNotRead(t *testing.T) {
	mine := codec(t, "k", map[string][]byte{"k": older})
	encoded, err := mine.Encode([]*commonpb.Payload{{Data: []byte("planted")}})
	require.NoError(t, err)
	_, err = codec(t, "k", map[string][]byte{"k": newer}).Decode(encoded)
	require.ErrorIs(t, err, payloads.ErrUnreadable, "another key of the same id")
	for i := range encoded[0].Data {
		changed := &commonpb.Payload{Metadata: encoded[0].Metadata, Data: bytes.Clone(encoded[0].Data)}
		changed.Data[i] ^= 1
		_, err = mine.Decode([]*commonpb.Payload{changed})
		require.ErrorIs(t, err, payloads.ErrUnreadable, "byte %d", i)
		_, err = mine.Decode([]*commonpb.Payload{{Metadata: encoded[0].Metadata, Data: encoded[0].Data[:i]}})
		require.ErrorIs(t, err, payloads.ErrUnreadable, "%d bytes", i)
	}
}

func TestErrorsAreEncryptedToo(t *testing.T) {
	_, mine := payloads.Converters(codec(t, "older", map[string][]byte{"older": older}))
	cause := temporal.NewApplicationError("planted cause", "kind", "planted detail")
	failure := mine.ErrorToFailure(temporal.NewApplicationErrorWithCause("planted message", "kind", cause))
	require.NotContains(t, failure.String(), "planted")
	err := mine.FailureToError(failure)
	require.ErrorContains(t, err, "planted message")
	require.ErrorContains(t, errors.Unwrap(err), "planted cause")
	var detail string
	require.NoError(t, errors.Unwrap(err).(*temporal.ApplicationError).Details(&detail))
	require.Equal(t, "planted detail", detail)

	_, none := payloads.Converters(nil)
	err = none.FailureToError(failure)
	require.ErrorContains(t, err, `encrypted with the key "older"`)
	require.ErrorContains(t, errors.Unwrap(err), `encrypted with the key "older"`)
	var kind *temporal.ApplicationError
	require.ErrorAs(t, err, &kind)
	require.Equal(t, "kind", kind.Type(), "what decides about retries is known without a key")
	require.Contains(t, none.ErrorToFailure(errors.New("plain")).String(), "plain")
}

func TestKeys(t *testing.T) {
	for text, ok := range map[string]bool{
		strings.Repeat("ab", 32):                       true,
		" " + strings.Repeat("ab", 32) + "\n":          true,
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=": true,
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8":  true,
		"hunter2":                         false,
		strings.Repeat("ab", 16):          false,
		"AAECAwQFBgcICQoLDA0ODw==":        false,
		"":                                false,
		strings.Repeat("hunter2", 32/7+1): false,
	} {
		key, err := payloads.ParseKey(text)
		if ok {
			require.NoError(t, err, text)
			require.Len(t, key, 32)
			continue
		}
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := payloads.NewCodec("absent", map[string][]byte{"a": older, "b": newer})
	require.ErrorContains(t, err, `encryption key "absent": unknown encryption key: the keys are "a", "b"`)
	_, err = payloads.NewCodec("a", map[string][]byte{"a": older[:16]})
	require.ErrorContains(t, err, `encryption key "a": expected 32 bytes, found 16`)
}

func TestCodecServer(t *testing.T) {
	const ui = "http://ui.example"
	c := codec(t, "older", map[string][]byte{"older": older})
	s := httptest.NewServer(payloads.Handler(c, []string{ui}))
	defer s.Close()
	data, _ := payloads.Converters(c)
	payload, err := data.ToPayload("planted")
	require.NoError(t, err)

	remote := func(origin string) ([]*commonpb.Payload, error) {
		return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: s.URL, ModifyRequest: func(r *http.Request) error {
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			return nil
		}}).Decode([]*commonpb.Payload{payload})
	}
	for _, origin := range []string{"", ui} {
		out, err := remote(origin)
		require.NoError(t, err)
		require.Equal(t, `"planted"`, string(out[0].Data))
	}
	_, err = remote("http://elsewhere.example")
	require.ErrorContains(t, err, "this origin may not ask")

	preflight, err := http.NewRequest(http.MethodOptions, s.URL+"/decode", nil)
	require.NoError(t, err)
	preflight.Header.Set("Origin", ui)
	answer, err := http.DefaultClient.Do(preflight)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.Equal(t, ui, answer.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, answer.Header.Get("Access-Control-Allow-Headers"), "X-Namespace")
}
