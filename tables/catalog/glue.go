package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	icebergglue "github.com/apache/iceberg-go/catalog/glue"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/tables/fault"
)

// glueRegion is the property that names the region, as in Iceberg's other implementations.
const glueRegion = "glue.region"

// openGlue opens AWS Glue's data catalog. The compare-and-swap of a commit is Glue's own version check: the table is
// read, the requirements are held against it, and the update names the version that was read.
//
// The SDK tries nothing again: an update whose answer was lost would come back as a conflict with itself.
func openGlue(ctx context.Context, cfg Config) (*Catalog, error) {
	const op = "open catalog AWS Glue"
	warehouse, err := warehouseURI(cfg.Warehouse)
	if err != nil {
		return nil, err
	}
	reach := objects.S3{Region: cfg.Props[glueRegion]}
	if reach.Region == "" && cfg.Store != nil {
		reach.Region = cfg.Store.S3.Region
	}
	if cfg.Credential != "" {
		var found bool
		if reach.AccessKey, reach.SecretKey, found = strings.Cut(cfg.Credential, ":"); !found {
			return nil, fault.New(fault.ErrDenied, op, errors.New("the credential is to be an access key as id:secret"))
		}
	}
	at, err := reach.AWSConfig(ctx, cfg.Patience)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	at.RetryMaxAttempts = 1 // and none of its own
	at.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	if cfg.URI != "" {
		at.BaseEndpoint = aws.String(cfg.URI)
	}
	if at.Region == "" {
		return nil, fmt.Errorf("%s: no region is named, neither by the property %s nor in the environment", op, glueRegion)
	}
	props := cfg.stores.WithProps(cfg.Props)
	props["warehouse"] = warehouse
	inner, err := icebergglue.NewCatalog(icebergglue.WithAwsConfig(at), icebergglue.WithAwsProperties(props))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return &Catalog{inner: inner, warehouse: warehouse, classify: classifyGlue, close: inner.Close}, nil
}

// classifyGlue classes by AWS's codes, then by the status and the network's faults.
func classifyGlue(op string, err error, changing bool) error {
	lost := fault.ErrPassing
	if changing {
		lost = fault.ErrUnknownOutcome
	}
	if fault.Class(err) != nil { // a file of the metadata: the store's
		return fault.New(nil, op, err)
	}
	var api smithy.APIError
	var class error
	if errors.As(err, &api) {
		class = classOfGlue(api.ErrorCode(), lost)
	}
	var answer *awshttp.ResponseError
	var network net.Error
	var dial *net.OpError
	switch {
	case class != nil || fault.Cancelled(err):
	case errors.As(err, &answer) && answer.HTTPStatusCode() >= 500:
		class = lost
	case errors.As(err, &dial) && dial.Op == "dial":
		class = fault.ErrPassing
	case errors.As(err, &network), errors.As(err, new(*smithy.OperationError)) && api == nil:
		class = lost // no answer, or none that could be read
	}
	if class == nil {
		return classifyShared(op, err)
	}
	return fault.New(class, op, err)
}

func classOfGlue(code string, lost error) error {
	switch code {
	case "EntityNotFoundException":
		return fault.ErrAbsent
	case "AlreadyExistsException", "ConcurrentModificationException", "ConcurrentRunsExceededException":
		return fault.ErrConflict
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
		"MissingAuthenticationTokenException", "IncompleteSignature", "InvalidClientTokenId", "GlueEncryptionException":
		return fault.ErrDenied
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "ResourceNotReadyException":
		return fault.ErrPassing // turned away
	case "InternalServiceException", "OperationTimeoutException", "InternalFailure", "ServiceUnavailable":
		return lost
	}
	return nil
}
