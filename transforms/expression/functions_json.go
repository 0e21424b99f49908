package expression

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/tidwall/gjson"

	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("JSON",
		fn("json_get(s, path)", "The part of a JSON text that a path names, as text: the text of a JSON string, the JSON of anything else, null for null and for what is not there. A path is user.tags.0; text that is no JSON is a fault.",
			`json_get("{\"user\": {\"id\": 7}}", "user.id") == "7"`, strict(typeString, jsonGet, paramText, paramText)),
		fn("toJSON(x)", "x as JSON.", `toJSON([1, 2]) == "[1,2]"`, toJSON),
	)
}

// jsonGet reads by gjson's paths.
func jsonGet(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	in, at, path, ps := vector.TextsOf(args[0].arr), args[0].stride(), vector.TextsOf(args[1].arr), args[1].stride()
	valid := ev.valid(args, n)
	out, log, found := vector.NewTextBuilder(n, in.Size()/2), faultLog{n: n, valid: valid}, vector.NewBits(n)
	for i := range n {
		if valid.IsValid(i) {
			s := in.At(i * at)
			if !gjson.Valid(s) {
				log.add(i, fmt.Sprintf("%.80q is not JSON", s))
			} else if r := gjson.Get(s, path.At(i*ps)); r.Exists() && r.Type != gjson.Null {
				out.Append(jsonText(r))
				found.Set(i)
			}
		}
		out.End()
	}
	arr, err := out.Finish(typeString, vector.And(log.valid, found))
	return arr, log.faults, err
}

// jsonText keeps a number as it was written.
func jsonText(r gjson.Result) string {
	if r.Type == gjson.String {
		return r.Str
	}
	return r.Raw
}

func toJSON(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramAny)
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		write := render.JSON(args[0].arr)
		return computeTexts(typeString, n, 16*n, ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return write(dst, i), ""
		})
	}
	return call(typeString, run, args...), nil
}
