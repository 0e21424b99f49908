package payloads

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// Converters are what a client and a worker need so that everything passes through the codec, messages and stack traces
// of errors among it. With a nil codec nothing is encrypted, and what others encrypted is an error that says so.
func Converters(c *Codec) (converter.DataConverter, converter.FailureConverter) {
	var codec converter.PayloadCodec = c
	if c == nil {
		codec = keyless{}
	}
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
	return data, &failures{
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
			DataConverter: data, EncodeCommonAttributes: c != nil,
		}),
		data: data,
	}
}

// keyless is the codec of those who have no keys.
type keyless struct{}

func (keyless) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) { return in, nil }

func (keyless) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	for _, p := range in {
		if string(p.GetMetadata()[converter.MetadataEncoding]) == encoding {
			return nil, fmt.Errorf("a payload is encrypted with the key %q: %w: the environment names none (temporal.encryption)",
				p.GetMetadata()[metadataKeyID], ErrUnknownKey)
		}
	}
	return in, nil
}

// failures says of a failure whose message can't be decrypted why that is; the SDK leaves "Encoded failure" in its place.
type failures struct {
	converter.FailureConverter
	data converter.DataConverter
}

func (f *failures) FailureToError(failure *failurepb.Failure) error {
	if !f.unreadable(failure) {
		return f.FailureConverter.FailureToError(failure)
	}
	told, _ := proto.Clone(failure).(*failurepb.Failure)
	for at := told; at != nil; at = at.GetCause() {
		if err := f.read(at); err != nil {
			at.Message, at.EncodedAttributes = err.Error(), nil
		}
	}
	return f.FailureConverter.FailureToError(told)
}

func (f *failures) unreadable(failure *failurepb.Failure) bool {
	for ; failure != nil; failure = failure.GetCause() {
		if f.read(failure) != nil {
			return true
		}
	}
	return false
}

// read tries to read what of a failure is encoded.
func (f *failures) read(failure *failurepb.Failure) error {
	if failure.GetEncodedAttributes() == nil {
		return nil
	}
	var attributes any
	return f.data.FromPayload(failure.GetEncodedAttributes(), &attributes)
}
