package healthpage

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/varve-lake/varve/tables"
)

// The pictures are SVG, drawn from numbers alone; what of a table's names gets into them is escaped.

const (
	width, height = 720, 200
	left, bottom  = 50, 30 // margins
)

// picture collects the elements of an SVG.
type picture struct{ strings.Builder }

func newPicture(title string) *picture {
	p := &picture{}
	fmt.Fprintf(p, `<svg viewBox="0 0 %d %d" width="%d" height="%d" role="img"><title>%s</title>`, width, height, width, height, template.HTMLEscapeString(title))
	fmt.Fprintf(p, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#aab4c0"/>`, left, height-bottom, width, height-bottom)
	return p
}

func (p *picture) done() template.HTML {
	p.WriteString("</svg>")
	return template.HTML(p.String())
}

func (p *picture) bar(x, w, share float64, color, title string) {
	h := share * (height - bottom - 15)
	if share > 0 {
		h = max(h, 1)
	}
	fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`,
		x, height-bottom-h, max(w, 0.5), h, color, template.HTMLEscapeString(title))
}

func (p *picture) text(x, y float64, anchor, s string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, template.HTMLEscapeString(s))
}

// scale writes beside the axis what it counts, its least and its greatest value.
func (p *picture) scale(most int, what string) {
	p.text(left-6, 20, "end", count(most))
	p.text(left-6, height-bottom, "end", "0")
	p.text(left-6, (height-bottom+20)/2, "end", what)
	fmt.Fprintf(p, `<line x1="%d" y1="15" x2="%d" y2="%d" stroke="#aab4c0"/>`, left, left, height-bottom)
}

func share(n, most int) float64 {
	if most == 0 {
		return 0
	}
	return float64(n) / float64(most)
}

// sizesPicture is a histogram of file sizes.
func sizesPicture(h tables.Health) template.HTML {
	p := newPicture("data files of " + h.Table + " by size")
	most := 0
	for _, c := range h.Sizes {
		most = max(most, c.Files)
	}
	p.scale(most, "files")
	step := float64(width-left) / float64(len(h.Sizes))
	for i, c := range h.Sizes {
		x := left + float64(i)*step
		label := "more"
		if c.Below > 0 {
			label = "< " + Bytes(c.Below)
		}
		p.bar(x+6, step-12, share(c.Files, most), "#4a7fb5", fmt.Sprintf("%s: %d files, %s", label, c.Files, Bytes(c.Bytes)))
		p.text(x+step/2, height-10, "middle", label)
		if below := c.Below; h.Target > 0 && (below == 0 || h.Target < below) && (i == 0 || h.Target >= h.Sizes[i-1].Below) {
			fmt.Fprintf(p, `<line x1="%.1f" y1="10" x2="%.1f" y2="%d" stroke="#9a4b00" stroke-dasharray="4 3"/>`, x+step/2, x+step/2, height-bottom)
		}
	}
	return p.done()
}

// side is a partition at one time.
type side struct {
	tables.PartitionHealth
	when string
}

// sides are each partition's bars: as it lay before the last compaction, if that is known, and now. Those that have gone since
// come last.
func sides(h tables.Health) (names []string, bars map[string][]side) {
	bars = map[string][]side{}
	if h.Before == nil {
		for _, p := range h.Partitions {
			names, bars[p.Path] = append(names, p.Path), []side{{p, "now"}}
		}
		return names, bars
	}
	for _, p := range h.Partitions {
		names, bars[p.Path] = append(names, p.Path), []side{{when: "before the last compaction"}, {p, "now"}}
	}
	for _, p := range h.Before.Partitions {
		if bars[p.Path] == nil {
			if h.PartitionCount > len(h.Partitions) {
				continue // it may be there, and be none of the worst
			}
			names, bars[p.Path] = append(names, p.Path), []side{{}, {when: "now"}}
		}
		bars[p.Path][0] = side{p, "before the last compaction"}
	}
	return names, bars
}

// layoutPicture has bars for each partition.
func layoutPicture(h tables.Health) template.HTML {
	p := newPicture("layout of " + h.Table + " by partition")
	names, bars := sides(h)
	most := 0
	for _, of := range bars {
		for _, b := range of {
			most = max(most, b.Files)
		}
	}
	p.scale(most, "files")
	step := float64(width-left) / float64(max(len(names), 1))
	for i, name := range names {
		x := left + float64(i)*step
		wide := step * .8 / float64(len(bars[name]))
		shown := name
		if shown == "" {
			shown = "the whole table"
		}
		for j, b := range bars[name] {
			p.partition(x+step*.1+float64(j)*wide, wide*.94, most, shown, b)
		}
		if len(names) <= 12 {
			p.text(x+step/2, height-10, "middle", shortened(shown, int(step/6.5)))
		}
	}
	if n := len(names); n > 12 {
		p.text(left, height-10, "start", shortened(names[0], 40))
		p.text(width-4, height-10, "end", shortened(names[n-1], 40))
	}
	return p.done()
}

// partition draws one side of a partition.
func (p *picture) partition(x, wide float64, most int, name string, s side) {
	deleted := 0.0
	if s.Rows > 0 {
		deleted = float64(s.DeletedRows) / float64(s.Rows)
	}
	title := fmt.Sprintf("%s, %s: %d files, %d of them small, %s, %s of its rows deleted", name, s.when, s.Files, s.SmallFiles, Bytes(s.Bytes), percent(deleted))
	p.bar(x, wide, share(s.Files, most), "#bcd2e8", title)
	p.bar(x, wide, share(s.SmallFiles, most), "#35618f", title)
	if deleted > 0 {
		y := float64(height-bottom) - deleted*(height-bottom-15)
		fmt.Fprintf(p, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#c0392b" stroke-width="2"/>`, x, y, x+wide, y)
	}
}

func shortened(s string, n int) string {
	r := []rune(s)
	if len(r) <= n || n < 2 {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}

// commitsPicture is the number of data files over time.
func commitsPicture(h tables.Health) template.HTML {
	p := newPicture("commits of " + h.Table + " over time")
	most := 0
	for _, c := range h.Commits {
		most = max(most, c.Files)
	}
	p.scale(most, "files")
	first, last := h.Commits[0].At, h.Commits[len(h.Commits)-1].At
	span := max(last.Sub(first).Seconds(), 1)
	var path strings.Builder
	var points strings.Builder
	for i, c := range h.Commits {
		x := left + 6 + c.At.Sub(first).Seconds()/span*(width-left-16)
		y := float64(height-bottom) - share(c.Files, most)*(height-bottom-15)
		if i == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		} else {
			fmt.Fprintf(&path, "H%.1fV%.1f", x, y)
		}
		color := "#35618f"
		if c.Compaction {
			color = "#e08a1e"
		}
		title := fmt.Sprintf("%s, %s: +%d -%d files, %d then, %s", c.At.Format("2006-01-02 15:04:05"), c.Operation, c.Added, c.Removed, c.Files, Bytes(c.Bytes))
		fmt.Fprintf(&points, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`, x, y, color, template.HTMLEscapeString(title))
	}
	fmt.Fprintf(p, `<path d="%s" fill="none" stroke="#8aa6c4"/>%s`, path.String(), points.String())
	p.text(left, height-10, "start", first.Format("2006-01-02 15:04"))
	p.text(width-4, height-10, "end", last.Format("2006-01-02 15:04"))
	return p.done()
}
