package expression

import (
	"fmt"
	"regexp"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// regexExtract is null where the pattern does not match, or the group took no part in the match.
func regexExtract(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 2, paramText, paramText, paramWhole)
	if err != nil {
		return nil, err
	}
	if len(args) == 2 {
		args = append(args, fixedConst(typeLong, int64(0)))
	}
	re, err := c.pattern(f.nodes[1], args[1])
	if err != nil {
		return nil, err
	}
	if k, ok := args[2].(*constNode); ok && re != nil && !k.isNull() {
		if group := vector.Values[int64](k.arr)[0]; group < 0 || group > int64(re.NumSubexp()) {
			return nil, c.errorf(f.nodes[2], "", "the pattern has %d groups, there is no group %d", re.NumSubexp(), group)
		}
	}
	return call(typeString, extractKernel(re), args...), nil
}

func extractKernel(re *regexp.Regexp) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, at := vector.TextsOf(args[0].arr), args[0].stride()
		compiled := patterns(re, args[1])
		group, gs := vector.Values[int64](args[2].arr), args[2].stride()
		valid := ev.valid(args, n)
		out, log := vector.NewTextBuilder(n, in.Size()/2), faultLog{n: n, valid: valid}
		matched := vector.NewBits(n)
		for i := range n {
			if valid.IsValid(i) {
				part, found, problem := extract(compiled, i, in.Bytes(i*at), group[i*gs])
				if problem != "" {
					log.add(i, problem)
				} else if found {
					out.Append(string(part))
					matched.Set(i)
				}
			}
			out.End()
		}
		arr, err := out.Finish(typeString, vector.And(log.valid, matched))
		return arr, log.faults, err
	}
}

func extract(compiled func(int) (*regexp.Regexp, string), i int, s []byte, group int64) (part []byte, found bool, problem string) {
	re, problem := compiled(i)
	if problem != "" {
		return nil, false, problem
	}
	if group < 0 || group > int64(re.NumSubexp()) {
		return nil, false, fmt.Sprintf("the pattern %q has no group %d", re, group)
	}
	at := re.FindSubmatchIndex(s)
	if at == nil || at[2*group] < 0 {
		return nil, false, ""
	}
	return s[at[2*group]:at[2*group+1]], true, ""
}

func regexReplace(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 3, paramText, paramText, paramText)
	if err != nil {
		return nil, err
	}
	re, err := c.pattern(f.nodes[1], args[1])
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, at := vector.TextsOf(args[0].arr), args[0].stride()
		to, ts := vector.TextsOf(args[2].arr), args[2].stride()
		compiled := patterns(re, args[1])
		return computeTexts(typeString, n, in.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			re, problem := compiled(i)
			if problem != "" {
				return dst, problem
			}
			return append(dst, re.ReplaceAll(in.Bytes(i*at), to.Bytes(i*ts))...), ""
		})
	}
	return call(typeString, run, args...), nil
}
