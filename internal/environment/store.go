package environment

import (
	"fmt"

	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/store"
)

// storeConfig is how the environment's store is reached, without its secrets; nil if it names none.
func storeConfig(e spec.Environment) *store.Config {
	s := e.Store
	cfg := &store.Config{Patience: e.Limits.Patience}
	switch {
	case s.S3 != nil:
		cfg.S3 = store.S3{Region: s.S3.Region, Endpoint: s.S3.Endpoint, PathStyle: s.S3.PathStyle}
	case s.GCS != nil:
		cfg.GCS = store.GCS{Project: s.GCS.Project, Endpoint: s.GCS.Endpoint}
	case s.HDFS != nil:
		cfg.HDFS = store.HDFS{NameNode: s.HDFS.NameNode, User: s.HDFS.User}
	default:
		return nil
	}
	return cfg
}

// secrets reads what the environment names secrets by, when the lake is opened and not before: a command that needs no
// lake needs no secret.
func secrets(e spec.Environment) func(*catalog.Config) error {
	return func(cfg *catalog.Config) error {
		into := map[*string]spec.Secret{&cfg.Credential: e.Catalog.Credential}
		if cfg.Store != nil {
			own := *cfg.Store // what the environment holds stays without secrets
			cfg.Store = &own
		}
		if e.Store.S3 != nil {
			into[&cfg.Store.S3.AccessKey] = e.Store.S3.AccessKey
			into[&cfg.Store.S3.SecretKey] = e.Store.S3.SecretKey
		}
		if e.Store.GCS != nil {
			into[&cfg.Store.GCS.Key] = e.Store.GCS.Credential
		}
		for to, from := range into {
			if from.IsZero() {
				continue
			}
			value, err := from.Resolve()
			if err != nil {
				return err
			}
			if value == "" {
				return fmt.Errorf("%s, which should hold a secret, is empty", from)
			}
			*to = value
		}
		return nil
	}
}
