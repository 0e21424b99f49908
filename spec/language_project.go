package spec

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The language of the project file, varve.yaml.

var projectLanguage = define("project",
	"The project file `varve.yaml` stands beside the pipelines and is optional. It says on what a lake stands; a pipeline never does.",
	field("environments", environmentsShape, func(p *Project) *[]Environment { return &p.Environments },
		"Environments by name. `local` is always there; if it is not given, or empty, everything lies under `.varve/`.", required, example("{local: {}}")),
).at(func(p *Project) *Pos { return &p.Pos })

var environmentLanguage = define("environment",
	"One set of catalog, store, Temporal and limits. What is left out is the local kind: under `.varve/`, and embedded.",
	field("catalog", catalogLanguage.shape(), func(e *Environment) *Catalog { return &e.Catalog }, "The Iceberg catalog."),
	field("store", storeLanguage.shape(), func(e *Environment) *Store { return &e.Store }, "Where files lie that are not on the local file system."),
	field("temporal", temporalLanguage.shape(), func(e *Environment) *Temporal { return &e.Temporal }, "The Temporal server."),
	field("trino", optional(trinoLanguage.shape()), func(e *Environment) **Trino { return &e.Trino }, "The Trino cluster for `engine: trino`."),
	field("limits", limitsLanguage.shape(), func(e *Environment) *Limits { return &e.Limits }, "Bounds of a worker."),
).at(func(e *Environment) *Pos { return &e.Pos }).checked(func(_ *decoder, m keys, e *Environment) {
	if !m.has("temporal") {
		e.Temporal = LocalEnvironment().Temporal
	}
})

var environmentsShape = func() shape[[]Environment] {
	environments := named("a map of environments by name", aName, environmentLanguage.shape())
	return convertAll(environments, func(e entry[Environment]) Environment {
		e.Value.Name = e.Name
		return e.Value
	})
}()

var secretLanguage = define("secret",
	"A reference to a secret. A secret itself never stands in a file, a plan, a workflow's history, a log or an error.",
	field("env", plain(aName), func(s *Secret) *string { return &s.Env }, "The environment variable that holds it.", example("NESSIE_TOKEN")),
	field("file", plain(textLike("a path", "", nil)), func(s *Secret) *string { return &s.File }, "The file that holds it, relative to the project file; a line break at its end is not part of it.", example("tls.key")),
).rule(exactlyOne, "env", "file")

// aSecret reads a reference. A text in its place may be the secret itself: it is refused and never shown.
var aSecret = shape[Secret]{secretLanguage.kind, func(d *decoder, n *yaml.Node, out *Secret) {
	if n.Kind != yaml.MappingNode {
		at := d.pos(n)
		for line := at.Line; line <= at.Line+strings.Count(n.Value, "\n")+1; line++ {
			d.secret[line] = true
		}
		d.failHint(at, "give {env: NAME} or {file: path}", "a secret is named, never inlined")
		return
	}
	secretLanguage.decode(d, n, out)
	if out.Env != "" {
		d.secrets = append(d.secrets, out.Env)
	}
	if out.File != "" && !filepath.IsAbs(out.File) {
		out.File = filepath.Join(filepath.Dir(d.doc.file), out.File)
	}
}}

var catalogLanguage = define("catalog",
	"An Iceberg catalog. Without one it is SQLite in `.varve/catalog.db`, with the tables of the JDBC catalog, so that other engines can share it.",
	field("type", enum(
		value{name: "sql", doc: "a database, SQLite or PostgreSQL, with the tables of the JDBC catalog, which Spark and PyIceberg share"},
		value{name: "rest", doc: "Iceberg's REST protocol: Nessie, Polaris, Unity and others"},
		value{name: "glue", doc: "AWS Glue's data catalog"},
	), func(c *Catalog) *string { return &c.Type }, "The kind of catalog.", required, example("sql")),
	field("name", plain(aName), func(c *Catalog) *string { return &c.Name }, "sql: the catalog's name in the database's tables.", initial("varve")),
	field("uri", aURI, func(c *Catalog) *string { return &c.URI }, "sql: `sqlite:///absolute/path`, `sqlite:relative/path` or `postgresql://host:5432/database?user=name`; rest: the server's address; glue: an address that is not Amazon's.", example("https://nessie.example/iceberg")),
	field("warehouse", aWarehouse, func(c *Catalog) *string { return &c.Warehouse }, "sql, glue: the folder or URI under which tables lie; rest: the warehouse's name.", example("lake")),
	field("branch", plain(textLike("a branch", "", nil)), func(c *Catalog) *string { return &c.Branch }, "rest, on Nessie: the branch that is read and written.", auto("the server's default branch"), example("main")),
	field("staging", aURI, func(c *Catalog) *string { return &c.Staging }, "rest: the folder in which what belongs to no one table is staged, such as a large plan.", auto("where the server says that its warehouse lies"), example("s3://lake/_runs")),
	field("credential", aSecret, func(c *Catalog) *Secret { return &c.Credential }, "sql on PostgreSQL: the password; without it, PostgreSQL's usual files and variables. rest: a token, or client credentials as `id:secret`, which are changed into tokens at the property `oauth2-server-uri`, or else at the catalog itself. glue: an access key as `id:secret`; without it, AWS's usual chain.", example("{env: NESSIE_TOKEN}")),
	field("properties", plainProperties, func(c *Catalog) *map[string]string { return &c.Properties }, "Further properties, as the catalog knows them; rest: `prefix`, `oauth2-server-uri`, `scope`, `audience`, `resource`, `header.*` among them; glue: `glue.region`, `glue.id`, `glue.skip-archive`. None may hold a secret."),
).at(func(c *Catalog) *Pos { return &c.Pos }).checked(func(d *decoder, m keys, c *Catalog) {
	if at, err := url.Parse(c.URI); err == nil {
		for key := range at.Query() {
			if secretName(key) {
				d.secret[m.pos(d, "uri").Line] = true
				d.fail(m.pos(d, "uri"), "parameter %q of the uri looks like a secret: secrets are named, never inlined, by the key credential", key)
			}
		}
	}
	switch {
	case c.Type == "rest" && c.URI == "" && !m.has("uri"):
		d.fail(m.owner, "a catalog of type rest needs a key \"uri\"")
	case c.Type == "glue" && c.Warehouse == "" && !m.has("warehouse"):
		d.fail(m.owner, "a catalog of type glue needs a key \"warehouse\"")
	case c.Type != "rest" && (m.has("branch") || m.has("staging")):
		for _, key := range []string{"branch", "staging"} {
			if m.has(key) {
				d.fail(m.keyPos(d, key), "%s is for a catalog of type rest", key)
			}
		}
	case c.Type == "sql" && c.URI != "" && !strings.HasPrefix(c.URI, "sqlite:") && !strings.HasPrefix(c.URI, "postgres"):
		d.fail(m.pos(d, "uri"), "a catalog of type sql has a uri of sqlite: or postgresql:, found %q", shorten(c.URI))
	}
})

// plainProperties reads properties of a catalog, among which no secret may stand.
var plainProperties = func() shape[map[string]string] {
	pairs := named("a map of properties by name", aProperty, aLiteral)
	return shape[map[string]string]{pairs.kind, func(d *decoder, n *yaml.Node, out *map[string]string) {
		var entries []entry[Text]
		pairs.decode(d, n, &entries)
		*out = map[string]string{}
		for _, e := range entries {
			(*out)[e.Name.Value] = e.Value.Value
			switch {
			case secretName(strings.NewReplacer("-", "_", ".", "_").Replace(e.Name.Value)):
				d.secretProperty(e)
			case credentialsIn(e.Value.Value) != nil:
				d.secretValue(e)
			}
		}
	}}
}()

var storeLanguage = define("store",
	"A store of objects. Without one files lie on the local file system.",
	field("s3", optional(s3Language.shape()), func(s *Store) **S3 { return &s.S3 }, "Amazon S3, or what speaks its protocol: `s3://bucket/key`."),
	field("gcs", optional(gcsLanguage.shape()), func(s *Store) **GCS { return &s.GCS }, "Google Cloud Storage: `gs://bucket/key`."),
	field("hdfs", optional(hdfsLanguage.shape()), func(s *Store) **HDFS { return &s.HDFS }, "Hadoop's file system: `hdfs://namenode:8020/path`, or `hdfs:///path`."),
).at(func(s *Store) *Pos { return &s.Pos }).rule(exactlyOne, "s3", "gcs", "hdfs")

var s3Language = define("s3", "Amazon S3, or what speaks its protocol.",
	field("region", aString, func(s *S3) *string { return &s.Region }, "The region.", example("eu-west-1")),
	field("endpoint", aURI, func(s *S3) *string { return &s.Endpoint }, "The address, if it is not Amazon's.", example("https://s3.example")),
	field("path_style", aBoolean, func(s *S3) *bool { return &s.PathStyle }, "The bucket stands in the path, not in the host's name.", initial("false")),
	field("access_key", aSecret, func(s *S3) *Secret { return &s.AccessKey }, "The access key; without it, AWS's usual chain.", example("{env: AWS_ACCESS_KEY_ID}")),
	field("secret_key", aSecret, func(s *S3) *Secret { return &s.SecretKey }, "The secret key.", example("{env: AWS_SECRET_ACCESS_KEY}")),
).rule(needs, "access_key", "secret_key").rule(needs, "secret_key", "access_key")

var gcsLanguage = define("gcs", "Google Cloud Storage.",
	field("project", aString, func(g *GCS) *string { return &g.Project }, "The project."),
	field("endpoint", aURI, func(g *GCS) *string { return &g.Endpoint }, "The address, if it is not Google's."),
	field("credential", aSecret, func(g *GCS) *Secret { return &g.Credential }, "A service account's key, as JSON; without it, Google's usual chain.", example("{file: account.json}")),
)

var hdfsLanguage = define("hdfs", "Hadoop's file system.",
	field("namenode", anAddress, func(h *HDFS) *string { return &h.NameNode }, "The name node's address.", required, example("namenode.example:8020")),
	field("user", aString, func(h *HDFS) *string { return &h.User }, "The user."),
)

var temporalLanguage = define("temporal",
	"A Temporal server. Without an address it is an embedded one, which keeps its state in `.varve/temporal.db`.",
	field("address", anAddress, func(t *Temporal) *string { return &t.Address }, "Its address.", example("temporal.example:7233")),
	field("namespace", plain(textLike("a namespace", "", nil)), func(t *Temporal) *string { return &t.Namespace }, "The namespace.", initial("default")),
	field("task_queue", plain(textLike("a task queue", "", nil)), func(t *Temporal) *string { return &t.TaskQueue }, "The task queue that workers listen to.", initial("varve")),
	field("tls", optional(tlsLanguage.shape()), func(t *Temporal) **TLS { return &t.TLS }, "TLS; `{}` for one without a client certificate."),
	field("api_key", aSecret, func(t *Temporal) *Secret { return &t.APIKey }, "An API key, as Temporal Cloud has them.", example("{env: TEMPORAL_API_KEY}")),
	field("encryption", optional(encryptionLanguage.shape()), func(t *Temporal) **Encryption { return &t.Encryption }, "Encryption of what the server keeps of runs; without it, that is readable to whoever reads its database."),
).at(func(t *Temporal) *Pos { return &t.Pos }).
	rule(needs, "tls", "address").
	rule(needs, "api_key", "address")

var encryptionLanguage = define("encryption",
	"Inputs, results, memos, heartbeats and errors are encrypted by AES-256-GCM before they leave Varve. Names stay readable: those of pipelines, "+
		"tables, branches and runs, in workflow ids, headers and search attributes, and the times of schedules. To rotate, add the new key to `keys` for every worker, then name it by `key`; "+
		"the old one stays until no run encrypted with it is kept.",
	field("key", plain(textLike("the id of a key", "", nil)), func(e *Encryption) *string { return &e.Key }, "The id of the key that encrypts.", required, example("2026-11")),
	field("keys", encryptionKeys, func(e *Encryption) *[]EncryptionKey { return &e.Keys }, "The keys by id: each 32 bytes in base64 or hex, as `openssl rand -base64 32` writes them. A payload names the key that decrypts it by this id.", required, example("{2026-11: {env: VARVE_PAYLOAD_KEY}, 2026-05: {file: old.key}}")),
).checked(func(d *decoder, m keys, e *Encryption) {
	known := make([]string, len(e.Keys))
	for i, k := range e.Keys {
		if known[i] = k.ID.Value; known[i] == e.Key {
			return
		}
	}
	if e.Key != "" && len(known) > 0 {
		d.failHint(m.pos(d, "key"), didYouMean(e.Key, known), "key %q is not among the keys", shorten(e.Key))
	}
})

var encryptionKeys = convertAll(nonEmpty(named("a map of keys by id", textLike("the id of a key", "", nil), aSecret)),
	func(e entry[Secret]) EncryptionKey { return EncryptionKey{e.Name, e.Value} })

var tlsLanguage = define("tls", "The client's side of a TLS connection.",
	field("cert", aSecret, func(t *TLS) *Secret { return &t.Cert }, "The client's certificate, as PEM.", example("{file: tls.pem}")),
	field("key", aSecret, func(t *TLS) *Secret { return &t.Key }, "Its key, as PEM.", example("{file: tls.key}")),
	field("ca", aSecret, func(t *TLS) *Secret { return &t.CA }, "The authority that signed the server's certificate, as PEM."),
	field("server_name", aString, func(t *TLS) *string { return &t.ServerName }, "The name that the server's certificate must bear, if it is not the address."),
).rule(needs, "cert", "key").rule(needs, "key", "cert")

var trinoLanguage = define("trino", "A Trino cluster. Not yet supported.",
	field("uri", aURI, func(t *Trino) *string { return &t.URI }, "Its address.", required, example("https://trino.example:8443")),
	field("catalog", plain(aName), func(t *Trino) *string { return &t.Catalog }, "Trino's catalog that is the lake.", required, example("lake")),
	field("schema", aString, func(t *Trino) *string { return &t.Schema }, "The schema in which results are staged."),
	field("user", aString, func(t *Trino) *string { return &t.User }, "The user."),
	field("password", aSecret, func(t *Trino) *Secret { return &t.Password }, "The user's password.", example("{env: TRINO_PASSWORD}")),
).at(func(t *Trino) *Pos { return &t.Pos })

var limitsLanguage = define("limits", "Bounds of a worker. What does not fit is spilled to disk.",
	field("memory", aSize, func(l *Limits) *int64 { return &l.Memory }, "Memory that a worker keeps to, at least 256MiB; `--memory` goes before it.", auto("half of the machine's"), example("4GB")),
	field("parallelism", anInteger(1, 1024), func(l *Limits) *int { return &l.Parallelism }, "Pieces of work at one time.", auto("the machine's cores"), example("8")),
	field("fan_out", aSize, func(l *Limits) *int64 { return &l.FanOut }, "Size of the data files that a MERGE has to look through above which it is done in groups of files, each an activity for any worker of the task queue; `--fan-out` goes before it.", auto("2GiB"), example("16GiB")),
	field("patience", aDuration(time.Second), func(l *Limits) *time.Duration { return &l.Patience }, "How long a catalog or store may be silent in the midst of a request before that is given up: a read or write is tried again, a commit is looked for first.", auto("1m"), example("30s")),
)

// DecodeProject reads a project file (varve.yaml). An empty one, or none, is a project with the local environment. What
// an environment needs that is not yet supported is said when that environment is asked for.
func DecodeProject(file string, data []byte, opts DecodeOptions) (*Project, Diagnostics) {
	p := &Project{Pos: Pos{file, 1, 1}, later: map[string]Diagnostics{}}
	d, root, found := start(file, data, opts, "", true)
	switch {
	case found != nil:
		return nil, found
	case root != nil:
		projectLanguage.shape().at(d, root, p)
	}
	local := false
	for _, e := range p.Environments {
		local = local || e.Name.Value == "local"
		p.later[e.Name.Value] = e.later().WithSource(data)
	}
	if !local {
		p.Environments = append(p.Environments, LocalEnvironment())
	}
	p.Secrets = d.secrets
	if found = d.finish(data); found.Err() != nil {
		return nil, found
	}
	return p, found
}

// LocalEnvironment is the environment of a project without a file: everything under .varve/.
func LocalEnvironment() Environment {
	return Environment{
		Name:     Text{Value: "local"},
		Temporal: Temporal{Namespace: "default", TaskQueue: "varve"},
	}
}

// later is what the environment needs that is not yet supported.
func (e *Environment) later() Diagnostics {
	var out Diagnostics
	add := func(at Pos, what string) {
		out = append(out, Diagnostic{Pos: at, Message: fmt.Sprintf("environment %q needs %s, which is not yet supported", e.Name.Value, what)})
	}
	if scheme, _, found := strings.Cut(e.Catalog.Warehouse, "://"); found && !haveStore(scheme) && e.Catalog.Type != "rest" {
		add(e.Catalog.Pos, "a warehouse in "+scheme)
	}
	if e.Trino != nil {
		add(e.Trino.Pos, "Trino")
	}
	out.Sort()
	return out
}

// haveStore tells whether files can lie at URIs of a scheme.
func haveStore(scheme string) bool {
	switch scheme {
	case "file", "s3", "s3a", "s3n", "gs", "hdfs":
		return true
	}
	return false
}
