package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// REST is a running server of Iceberg's REST protocol.
type REST struct {
	URI       string
	Warehouse string // its name; empty where the server has but one
}

// IcebergREST starts Apache's reference server with its tables in the bucket.
func IcebergREST(t testing.TB, s3 S3) REST {
	t.Helper()
	dir := Folder(t)
	port := Port(t)
	env := []string{
		"CATALOG_WAREHOUSE=s3://" + s3.Bucket + "/rest", "CATALOG_IO__IMPL=org.apache.iceberg.aws.s3.S3FileIO",
		"CATALOG_S3_ENDPOINT=" + s3.Endpoint, "CATALOG_S3_PATH__STYLE__ACCESS=true", "AWS_REGION=" + s3.Region,
		// Its own default, an SQLite in memory, is forgotten when a connection ends; two connections lock each other out.
		"CATALOG_URI=jdbc:sqlite:" + filepath.Join(t.TempDir(), "rest.db"), "CATALOG_CLIENTS=1",
		"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey, fmt.Sprintf("CATALOG_REST_PORT=%d", port),
	}
	p := start(t, "Iceberg's REST server", env, java(t, 17), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", jar(t, dir, "iceberg-open-api-1.10.0.jar"),
		"org.apache.iceberg.rest.RESTCatalogServer")
	r := REST{URI: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.await(t, answers(r.URI+"/v1/config"))
	return r
}

// Nessie starts Project Nessie, in memory, with its warehouse "lake" in the bucket.
func Nessie(t testing.TB, s3 S3) REST {
	t.Helper()
	dir := Folder(t)
	port, management := Port(t), Port(t)
	const options = "-Dnessie.catalog.service.s3.default-options."
	p := start(t, "Nessie", nil, java(t, 25), "-Xmx512m", "-XX:TieredStopAtLevel=1",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.access-log.enabled=false", fmt.Sprintf("-Dquarkus.http.port=%d", port), fmt.Sprintf("-Dquarkus.management.port=%d", management),
		"-Dnessie.catalog.default-warehouse=lake", "-Dnessie.catalog.warehouses.lake.location=s3://"+s3.Bucket+"/nessie",
		options+"endpoint="+s3.Endpoint, options+"region="+s3.Region, options+"path-style-access=true",
		options+"request-signing-enabled=false", options+"access-key=urn:nessie-secret:quarkus:store",
		"-Dstore.name="+s3.AccessKey, "-Dstore.secret="+s3.SecretKey,
		"-jar", jar(t, dir, "nessie-quarkus-0.99.0-runner.jar"))
	r := REST{URI: fmt.Sprintf("http://127.0.0.1:%d/iceberg", port), Warehouse: "lake"}
	p.await(t, answers(r.URI+"/v1/config"))
	return r
}

func jar(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, "jars", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed: %v", name, err)
	}
	return path
}

// java finds a JDK by VARVE_JAVA_17 or VARVE_JAVA_25, or among those in /usr/lib/jvm.
func java(t testing.TB, version int) string {
	t.Helper()
	variable := fmt.Sprintf("VARVE_JAVA_%d", version)
	candidates, _ := filepath.Glob(fmt.Sprintf("/usr/lib/jvm/*%d*", version))
	if home := os.Getenv(variable); home != "" {
		candidates = []string{home}
	}
	for _, home := range candidates {
		if path := filepath.Join(home, "bin", "java"); executable(path) {
			return path
		}
	}
	t.Fatalf("no JDK %d: name its folder in %s", version, variable)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
