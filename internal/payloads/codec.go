// Package payloads encrypts what Temporal keeps of runs: inputs, results, memos, heartbeats and errors.
//
// The format is that of Temporal's own samples, so that their tools read it: the payload's metadata names the encoding
// and the key's id, and its data are a nonce and, sealed by AES-256-GCM, the marshalled payload.
package payloads

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

const (
	// encoding is the metadata "encoding" of an encrypted payload.
	encoding = "binary/encrypted"
	// metadataKeyID is the metadata that names the key.
	metadataKeyID = "encryption-key-id"
	// keySize is that of AES-256, in bytes.
	keySize = 32
)

var (
	// ErrUnknownKey says that a payload was encrypted with a key that is not among those at hand.
	ErrUnknownKey = errors.New("unknown encryption key")
	// ErrUnreadable says that a payload is not what its key has encrypted: another key bears the same id, or it was changed.
	ErrUnreadable = errors.New("unreadable payload")
)

// Codec encrypts payloads with one key and decrypts them with that and others. A payload that is not encrypted is read
// as it is: one from before encryption was turned on, or one that a person typed into the Temporal UI. It is safe for
// use by many goroutines.
type Codec struct {
	use     string
	ciphers map[string]cipher.AEAD // by the key's id
}

var _ converter.PayloadCodec = (*Codec)(nil)

// NewCodec makes a codec of keys by id, each of 32 bytes, of which the one named use encrypts.
func NewCodec(use string, keys map[string][]byte) (*Codec, error) {
	c := &Codec{use: use, ciphers: map[string]cipher.AEAD{}}
	for id, key := range keys {
		if len(key) != keySize {
			return nil, fmt.Errorf("encryption key %q: expected %d bytes, found %d", id, keySize, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("encryption key %q: %w", id, err)
		}
		if c.ciphers[id], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("encryption key %q: %w", id, err)
		}
	}
	if c.ciphers[use] == nil {
		return nil, fmt.Errorf("encryption key %q: %w: the keys are %s", use, ErrUnknownKey, c.known())
	}
	return c, nil
}

// ParseKey reads a key as `openssl rand -base64 32` or `-hex 32` writes it. Its error does not repeat the text.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	for _, base := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := base.DecodeString(text); err == nil && len(key) == keySize {
			return key, nil
		}
	}
	return nil, errors.New("expected 32 bytes in base64 or hex, as `openssl rand -base64 32` writes them")
}

// Encode encrypts each payload with a nonce of its own.
func (c *Codec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		aead := c.ciphers[c.use]
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding), metadataKeyID: []byte(c.use)},
			Data:     aead.Seal(nonce, nonce, plain, nil),
		}
	}
	return out, nil
}

// Decode decrypts the payloads that are encrypted, each with the key that it names.
func (c *Codec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		out[i] = p
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encoding {
			continue
		}
		var err error
		if out[i], err = c.open(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *Codec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	id := string(p.GetMetadata()[metadataKeyID])
	aead := c.ciphers[id]
	if aead == nil {
		return nil, fmt.Errorf("a payload is encrypted with the key %q: %w: the keys are %s", id, ErrUnknownKey, c.known())
	}
	data := p.GetData()
	if len(data) < aead.NonceSize() {
		return nil, fmt.Errorf("a payload encrypted with the key %q has %d bytes: %w", id, len(data), ErrUnreadable)
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("a payload encrypted with a key %q does not open with the one at hand: %w", id, ErrUnreadable)
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, fmt.Errorf("a payload encrypted with the key %q: %w", id, err)
	}
	return out, nil
}

func (c *Codec) known() string {
	ids := slices.Sorted(maps.Keys(c.ciphers))
	for i, id := range ids {
		ids[i] = fmt.Sprintf("%q", id)
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}
