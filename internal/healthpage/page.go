// Package healthpage makes a page of tables' health: one file of HTML with its pictures in it, which asks nothing of the
// network and runs no script.
package healthpage

import (
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// Table is one table's part of the page.
type Table struct {
	tables.Health
	Policy string            `json:"policy,omitempty"` // "" if no pipeline declares one
	Next   []wire.UpkeepStep `json:"next,omitempty"`   // what the policy would do
}

// Write writes the page.
func Write(out io.Writer, made time.Time, all []Table) error {
	return page.Execute(out, struct {
		Made   string
		Tables []Table
	}{made.UTC().Format("2006-01-02 15:04 UTC"), all})
}

var page = template.Must(template.New("health").Funcs(template.FuncMap{
	"bytes": Bytes, "percent": percent, "count": count,
	"sizes": sizesPicture, "layout": layoutPicture, "commits": commitsPicture,
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Health of {{len .Tables}} tables</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b2733;background:#fff}
h1{font-size:1.5rem} h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid #d8dee6;padding-top:1rem}
table{border-collapse:collapse;margin:.6rem 0} td,th{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums} .dim{color:#68768a} .due{color:#9a4b00}
figure{margin:1rem 0} figcaption{color:#68768a;font-size:.9rem} svg{max-width:100%;height:auto} .key{display:inline-block;width:.7em;height:.7em;margin-left:.6em} svg text{font:11px system-ui,sans-serif;fill:#445}
</style></head><body>
<h1>Health of tables</h1><p class="dim">{{.Made}}</p>
{{range .Tables}}
<h2>{{.Table}}</h2>
<p class="dim">{{.Location}}</p>
<table>
<tr><th>data files</th><td class="n">{{count .Files}}</td><td>{{bytes .Bytes}}, {{count .Rows}} rows</td></tr>
<tr><th>small files</th><td class="n">{{percent .SmallShare}}</td><td>{{count .SmallFiles}} below three quarters of {{bytes .Target}}</td></tr>
<tr><th>deleted rows</th><td class="n">{{percent .DeletedShare}}</td><td>{{count .DeletedRows}} at most, by {{count .DeleteFiles}} delete files</td></tr>
{{if .ClusteredBy}}<tr><th>clustering depth</th><td class="n">{{printf "%.2f" .Depth}}</td><td>files of its partition that a value lies in, by {{range $i, $c := .ClusteredBy}}{{if $i}}, {{end}}{{$c}}{{end}}</td></tr>
{{end}}<tr><th>snapshots</th><td class="n">{{count .Snapshots}}</td><td>{{if .Oldest}}the oldest of {{.Oldest.Format "2006-01-02 15:04"}}; {{end}}{{.Refs}} branches and tags</td></tr>
<tr><th>metadata</th><td class="n">{{bytes .MetadataBytes}}</td><td>{{count .Manifests}} manifests of {{bytes .ManifestBytes}}; {{count .MetadataFiles}} metadata files</td></tr>
<tr><th>policy</th><td></td><td>{{if .Policy}}{{.Policy}}{{else}}<span class="due">none is declared</span>{{end}}</td></tr>
</table>
{{if .Next}}<table><tr><th>next</th><th>what</th><th>why</th></tr>
{{range .Next}}<tr{{if .Done}} class="due"{{end}}><td>{{.Kind}}</td><td>{{.What}}</td><td>{{.Why}}</td></tr>
{{end}}</table>{{end}}
{{if .Files}}<figure>{{sizes .Health}}<figcaption>Data files by size. The dashed line is the target, {{bytes .Target}}.</figcaption></figure>
<figure>{{layout .Health}}<figcaption>Files by partition{{if gt .PartitionCount (len .Partitions)}}, the worst {{len .Partitions}} of {{count .PartitionCount}}{{end}}: {{if .Before}}on the left before the last compaction ({{.Before.At.Format "2006-01-02 15:04"}}), on the right now{{else}}now; no snapshot is left from before a compaction{{end}}.
<span class="key" style="background:#35618f"></span>&nbsp;small files <span class="key" style="background:#bcd2e8"></span>&nbsp;others <span class="key" style="background:#c0392b"></span>&nbsp;share of rows deleted, of the height</figcaption></figure>{{end}}
{{if .Commits}}<figure>{{commits .Health}}<figcaption>Data files after each commit, over time (UTC). <span class="key" style="background:#35618f"></span>&nbsp;writers <span class="key" style="background:#e08a1e"></span>&nbsp;compactions</figcaption></figure>{{end}}
{{end}}
</body></html>
`))

// Bytes writes a size in the unit that a person reads.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// count writes a number with commas between its thousands.
func count(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
