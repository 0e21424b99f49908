package expression

import (
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

var typeTexts arrow.DataType = columntype.List(typeString)

func init() {
	define("Text",
		fn("upper(s)", "s in upper case.", `upper("ab") == "AB"`, strict(typeString, mapText(strings.ToUpper), paramText)),
		fn("lower(s)", "s in lower case.", `lower("AB") == "ab"`, strict(typeString, mapText(strings.ToLower), paramText)),
		fn("trim(s, characters)", "s without blanks, or without the characters given, at both ends.",
			`trim("  a ") == "a" and trim("xxaxx", "x") == "a"`, textWith(strings.TrimSpace, strings.Trim)),
		fn("trimPrefix(s, prefix)", "s without a prefix, if it has it.", `trimPrefix("N123", "N") == "123"`,
			strict(typeString, mapTexts(strings.TrimPrefix), paramText, paramText)),
		fn("trimSuffix(s, suffix)", "s without a suffix, if it has it.", `trimSuffix("a.csv", ".csv") == "a"`,
			strict(typeString, mapTexts(strings.TrimSuffix), paramText, paramText)),
		fn("hasPrefix(s, prefix)", "As `s startsWith prefix`.", `hasPrefix("abc", "ab")`,
			strict(typeBool, textTestKernel(strings.HasPrefix), paramText, paramText)),
		fn("hasSuffix(s, suffix)", "As `s endsWith suffix`.", `hasSuffix("abc", "bc")`,
			strict(typeBool, textTestKernel(strings.HasSuffix), paramText, paramText)),
		fn("indexOf(s, part)", "The place of the first part in s, in characters from 0, or -1.", `indexOf("añb", "b") == 2`,
			strict(typeInt, placeOf(strings.Index), paramText, paramText)),
		fn("lastIndexOf(s, part)", "The place of the last part in s, or -1.", `lastIndexOf("a/b/c", "/") == 3`,
			strict(typeInt, placeOf(strings.LastIndex), paramText, paramText)),
		fn("replace(s, old, new)", "s with every old replaced.", `replace("a-b-c", "-", "") == "abc"`,
			strict(typeString, replaceKernel, paramText, paramText, paramText)),
		fn("repeat(s, n)", "s n times.", `repeat("ab", 2) == "abab"`, strict(typeString, repeatKernel, paramText, paramWhole)),
		fn("left(s, n)", "The first n characters.", `left("abc", 2) == "ab"`, strict(typeString, endKernel(false), paramText, paramWhole)),
		fn("right(s, n)", "The last n characters.", `right("abc", 2) == "bc"`, strict(typeString, endKernel(true), paramText, paramWhole)),
		fn("lpad(s, n, fill)", "s of n characters, filled or cut at the left; fill is a blank if absent.", `lpad("7", 3, "0") == "007"`, pad(true)),
		fn("rpad(s, n, fill)", "s of n characters, filled or cut at the right.", `rpad("7", 3, ".") == "7.."`, pad(false)),
		fn("split(s, separator)", "The parts of s, a list.", `split("a,b", ",")[1] == "b"`,
			strict(typeTexts, splitKernel, paramText, paramText)),
		fn("join(list, separator)", "The texts of a list, joined; nulls are left out.", `join(["a", nil, "b"], "-") == "a-b"`, joinFunction),
		fn("join_text(separator, s, ...)", "Texts joined; nulls are left out.", `join_text("-", "a", nil, "b") == "a-b"`, joinText),
		fn("regex_extract(s, pattern, group)", "The first match of a regular expression (RE2), or its group by number; null without a match.",
			`regex_extract("UA 123", "([A-Z]+) (\\d+)", 2) == "123"`, regexExtract),
		fn("regex_replace(s, pattern, replacement)", "s with every match replaced; $1 is a group.",
			`regex_replace("2024-01", "(\\d+)-(\\d+)", "$2/$1") == "01/2024"`, regexReplace),
	)
}

// mapText applies a function of one text.
func mapText(f func(string) string) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in := vector.TextsOf(args[0].arr)
		return computeTexts(typeString, n, in.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return append(dst, f(in.At(i))...), ""
		})
	}
}

// mapTexts applies a function of two texts.
func mapTexts(f func(a, b string) string) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b, sa, sb := vector.TextsOf(args[0].arr), vector.TextsOf(args[1].arr), args[0].stride(), args[1].stride()
		return computeTexts(typeString, n, a.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return append(dst, f(a.At(i*sa), b.At(i*sb))...), ""
		})
	}
}

// textWith is a function of a text whose second argument may be absent.
func textWith(one func(string) string, two func(a, b string) string) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 1, paramText, paramText)
		if err != nil {
			return nil, err
		}
		if len(args) == 1 {
			return call(typeString, mapText(one), args...), nil
		}
		return call(typeString, mapTexts(two), args...), nil
	}
}

func placeOf(find func(s, part string) int) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b, sa, sb := vector.TextsOf(args[0].arr), vector.TextsOf(args[1].arr), args[0].stride(), args[1].stride()
		return computeFixed(typeInt, n, ev.valid(args, n), func(i int) (int32, string) {
			s := a.At(i * sa)
			at := find(s, b.At(i*sb))
			if at < 0 {
				return -1, ""
			}
			return int32(utf8.RuneCountInString(s[:at])), ""
		})
	}
}

func replaceKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	s, from, to := vector.TextsOf(args[0].arr), vector.TextsOf(args[1].arr), vector.TextsOf(args[2].arr)
	ss, fs, ts := args[0].stride(), args[1].stride(), args[2].stride()
	return computeTexts(typeString, n, s.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
		return append(dst, strings.ReplaceAll(s.At(i*ss), from.At(i*fs), to.At(i*ts))...), ""
	})
}

// maxText bounds the text that one value can grow to.
const maxText = 16 << 20

func repeatKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	s, ss := vector.TextsOf(args[0].arr), args[0].stride()
	times, ts := vector.Values[int64](args[1].arr), args[1].stride()
	return computeTexts(typeString, n, s.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
		text, k := s.At(i*ss), max(times[i*ts], 0)
		if text != "" && k > int64(maxText/len(text)) {
			return dst, "a repeated text would exceed 16 MiB"
		}
		for ; k > 0 && text != ""; k-- {
			dst = append(dst, text...)
		}
		return dst, ""
	})
}

// endKernel takes characters from one end of a text.
func endKernel(right bool) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		s, ss := vector.TextsOf(args[0].arr), args[0].stride()
		count, cs := vector.Values[int64](args[1].arr), args[1].stride()
		return computeTexts(typeString, n, s.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			text, k := s.At(i*ss), max(count[i*cs], 0)
			length := int64(utf8.RuneCountInString(text))
			from, to := int64(0), min(k, length)
			if right {
				from, to = max(length-k, 0), length
			}
			return append(dst, sliceText(text, from, to)...), ""
		})
	}
}

func pad(atLeft bool) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 2, paramText, paramWhole, paramText)
		if err != nil {
			return nil, err
		}
		if len(args) == 2 {
			args = append(args, textConst(typeString, " "))
		}
		return call(typeString, padKernel(atLeft), args...), nil
	}
}

func padKernel(atLeft bool) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		s, ss := vector.TextsOf(args[0].arr), args[0].stride()
		width, ws := vector.Values[int64](args[1].arr), args[1].stride()
		fill, fs := vector.TextsOf(args[2].arr), args[2].stride()
		return computeTexts(typeString, n, s.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			text, k, filler := s.At(i*ss), max(width[i*ws], 0), fill.At(i*fs)
			missing := k - int64(utf8.RuneCountInString(text))
			switch {
			case missing <= 0:
				return append(dst, sliceText(text, 0, k)...), ""
			case filler == "":
				return dst, "the text to fill with is empty"
			case missing > maxText/4:
				return dst, "a filled text would exceed 16 MiB"
			}
			if !atLeft {
				dst = append(dst, text...)
			}
			dst = appendFill(dst, filler, missing)
			if atLeft {
				dst = append(dst, text...)
			}
			return dst, ""
		})
	}
}

// appendFill appends n characters of filler, again and again.
func appendFill(dst []byte, filler string, n int64) []byte {
	for {
		for _, r := range filler {
			if n == 0 {
				return dst
			}
			dst = utf8.AppendRune(dst, r)
			n--
		}
	}
}

func splitKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	s, ss, sep, ps := vector.TextsOf(args[0].arr), args[0].stride(), vector.TextsOf(args[1].arr), args[1].stride()
	valid, offsets := ev.valid(args, n), make([]int32, n+1)
	parts, count := vector.NewTextBuilder(2*n, s.Size()), int32(0)
	for i := range n {
		if valid.IsValid(i) {
			for part := range strings.SplitSeq(s.At(i*ss), sep.At(i*ps)) {
				parts.Append(part)
				parts.End()
				count++
			}
		}
		offsets[i+1] = count
	}
	elements, err := parts.Finish(typeString, nil)
	if err != nil {
		return nil, nil, err
	}
	return vector.MakeList(typeTexts, offsets, ev.hold(elements), valid), nil, nil
}

func joinFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramList, paramText)
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		args = append(args, textConst(typeString, ""))
	}
	if castKernel(args[0].dataType(), typeTexts) == nil {
		return nil, c.errorf(f.nodes[0], "", "join needs a list of texts, found %s", typeName(args[0].dataType()))
	}
	return call(typeString, joinKernel, c.cast(args[0], typeTexts), args[1]), nil
}

func joinKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	offsets, elements, _, err := ev.elements(args[0], n)
	if err != nil {
		return nil, nil, err
	}
	parts, present := vector.TextsOf(elements), vector.Validity(elements)
	sep, ps := vector.TextsOf(args[1].arr), args[1].stride()
	return computeTexts(typeString, n, parts.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
		first := true
		for j := int(offsets[i]); j < int(offsets[i+1]); j++ {
			if !present.IsValid(j) {
				continue
			}
			if !first {
				dst = append(dst, sep.Bytes(i*ps)...)
			}
			dst, first = append(dst, parts.Bytes(j)...), false
		}
		return dst, ""
	})
}

func joinText(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, -1); err != nil {
		return nil, err
	}
	args := make([]node, len(f.nodes))
	for i := range f.nodes {
		v, err := c.argument(f, i, paramText)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	return call(typeString, joinTextKernel, args...), nil
}

func joinTextKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	texts, present := make([]vector.Texts, len(args)), make([]vector.Bits, len(args))
	size := 0
	for i, a := range args {
		texts[i], present[i] = vector.TextsOf(a.arr), validityOf(a, n)
		size += texts[i].Size()
	}
	return computeTexts(typeString, n, size, ev.valid(args[:1], n), func(dst []byte, i int) ([]byte, string) {
		first := true
		for k := 1; k < len(args); k++ {
			if !present[k].IsValid(i) {
				continue
			}
			if !first {
				dst = append(dst, texts[0].Bytes(i*args[0].stride())...)
			}
			dst, first = append(dst, texts[k].Bytes(i*args[k].stride())...), false
		}
		return dst, ""
	})
}
