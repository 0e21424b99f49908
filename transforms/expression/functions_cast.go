package expression

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Casts",
		fn("boolean(x)", "Reads true, t, yes, y, 1 and false, f, no, n, 0; of a number, whether it is not 0.",
			`boolean("yes") == true`, castTo(typeBool)),
		fn("int(x)", "A 32-bit integer. The fraction of a number is cut; text must be a whole number. Out of range is a fault.",
			`int("12") == 12 and int(2.9) == 2`, castTo(typeInt)),
		fn("long(x)", "A 64-bit integer, as int.",
			`long("9000000000") == 9000000000`, castTo(typeLong)),
		fn("float(x)", "A 32-bit floating-point number.",
			`float("1.5") == 1.5`, castTo(typeFloat)),
		fn("double(x)", "A 64-bit floating-point number.",
			`double("1e3") == 1000`, castTo(typeDouble)),
		fn("decimal(x, precision, scale)", "An exact number; further digits are rounded half up. Precision and scale are constants, 38 and 9 if absent.",
			`decimal("12.345", 18, 2) == 12.35`, castDecimal),
		fn("string(x)", "x as text, as DuckDB writes it: 1.0, 2024-01-31 12:30:00, 2024-01-31 12:30:00+00 for an instant. Lists, maps and structs are JSON.",
			`string(timestamp("2024-01-31T12:30")) == "2024-01-31 12:30:00"`, castTo(typeString)),
		fn("binary(x)", "The bytes of a text, a uuid or a fixed.",
			`binary("ab") == b"ab"`, castTo(typeBinary)),
		fn("uuid(x)", "Reads a text or 16 bytes.",
			`string(uuid("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6")) == "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"`, castTo(typeUUID)),
		fn("date(x, format)", "The date of a timestamp (of an instant, in UTC), or read from text: 2024-01-31, or by a format of strftime's directives.",
			`date("31/01/2024", "%d/%m/%Y") == "2024-01-31"`, castMoment(typeDate)),
		fn("time(x)", "The time of the day of a timestamp, or read from text.",
			`time("12:30") == "12:30:00"`, castTo(typeTime)),
		fn("timestamp(x, format)", "A timestamp without a zone, of a date, of an instant (in UTC), or read from text, where an offset is converted to UTC.",
			`timestamp("2024-01-31T12:30:00+02:00") == "2024-01-31 10:30:00"`, castMoment(typeTimestamp)),
		fn("timestamptz(x, format_or_zone)", "An instant, of a date or a timestamp (in UTC, or in the zone named), or read from text (by the format, if there is one).",
			`timestamptz(timestamp("2024-07-01 12:00"), "America/New_York") == "2024-07-01 16:00:00"`, castInstant),
		fn("duration(x)", "A length of time, read from text: 1d12h, 90m, 1.5s.",
			`duration("90m") == duration("1h30m")`, castTo(typeDuration)),
		fn("cast(x, type)", "x as the type named, in Iceberg's notation.",
			`cast("1.50", "decimal(9,2)") == 1.5`, castNamed(false)),
		fn("try_cast(x, type)", "As cast, but what cannot be cast is null.",
			`try_cast("abc", "int") == nil`, castNamed(true)),
	)
}

// explicitCast is a cast that the source asks for.
func (c *compiler) explicitCast(at ast.Node, v node, to arrow.DataType) (node, error) {
	if castKernel(v.dataType(), to) == nil {
		hint := ""
		if k := kindOf(v.dataType()); k.isInteger() && kindOf(to).isTimestamp() {
			hint = "from_unix(x) reads seconds since 1970"
		}
		return nil, c.errorf(at, hint, "%s cannot be cast to %s", typeName(v.dataType()), typeName(to))
	}
	out := c.cast(v, to)
	if folded, ok := out.(*constNode); ok && out != v {
		folded.literal = "" // the type is as asked
	}
	return out, nil
}

func castTo(to arrow.DataType) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 1, paramAny)
		if err != nil {
			return nil, err
		}
		return c.explicitCast(f.nodes[0], args[0], to)
	}
}

func castDecimal(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramAny, paramWhole, paramWhole)
	if err != nil {
		return nil, err
	}
	size := []int64{maxPrecision, 9}
	if len(args) == 2 {
		size[1] = 0
	}
	for i, a := range args[1:] {
		k, ok := a.(*constNode)
		if !ok || k.isNull() {
			return nil, c.errorf(f.nodes[i+1], "", "precision and scale must be constants")
		}
		size[i] = vector.Values[int64](k.arr)[0]
	}
	if size[0] < 1 || size[0] > maxPrecision || size[1] < 0 || size[1] > size[0] {
		return nil, c.errorf(f.nodes[1], "", "decimal(%d,%d) is not possible: the precision is 1 to 38, the scale 0 to the precision", size[0], size[1])
	}
	return c.explicitCast(f.nodes[0], args[0], &arrow.Decimal128Type{Precision: int32(size[0]), Scale: int32(size[1])})
}

func castNamed(orNull bool) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		if err := f.arity(c, 2, 2); err != nil {
			return nil, err
		}
		v, err := c.lower(f.nodes[0])
		if err != nil {
			return nil, err
		}
		name, err := c.constTextArgument(f, 1)
		if err != nil {
			return nil, err
		}
		to, err := columntype.Parse(name)
		if err != nil {
			var typed *columntype.Error
			hint := ""
			if errors.As(err, &typed) && typed.Hint != "" {
				err, hint = errors.New(typed.Message), fmt.Sprintf("did you mean %q?", typed.Hint)
			}
			return nil, c.errorf(f.nodes[1], hint, "%v", err)
		}
		out, err := c.explicitCast(f.nodes[0], v, to)
		if err != nil || !orNull {
			return out, err
		}
		if areConst(out) {
			return out, nil
		}
		return &tryNode{value: out}, nil
	}
}

// castMoment is date and timestamp: a cast, or text read by a format.
func castMoment(to arrow.DataType) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, 1, paramAny, paramText)
		if err != nil {
			return nil, err
		}
		if len(args) == 1 {
			return c.explicitCast(f.nodes[0], args[0], to)
		}
		at, err := c.formatted(f, args[0])
		if err != nil {
			return nil, err
		}
		return c.cast(at, to), nil
	}
}

// formatted reads text by the constant format that is the second argument.
func (c *compiler) formatted(f *funcCall, v node) (node, error) {
	if k := kindOf(v.dataType()); k != kindString && k != kindNull {
		return nil, c.errorf(f.nodes[0], "", "%s with a format needs text, found %s", f.name, typeName(v.dataType()))
	}
	text, err := c.constTextArgument(f, 1)
	if err != nil {
		return nil, err
	}
	format, err := civil.ParseFormat(text)
	if err != nil {
		return nil, c.errorf(f.nodes[1], "as in %Y-%m-%d %H:%M:%S", "%v", err)
	}
	run := eachFixed(typeTimestamp, func(arr arrow.Array) func(int) (int64, string) {
		in := vector.TextsOf(arr)
		return func(i int) (int64, string) {
			t, ok := format.Parse(in.At(i))
			if v, fits := t.Value(civil.MicrosPerSecond); ok && fits {
				return v, ""
			}
			return 0, fmt.Sprintf("%q does not have the format %q", in.At(i), text)
		}
	})
	return call(typeTimestamp, run, c.cast(v, typeString)), nil
}

// castInstant is timestamptz: its second argument is a format for text and a zone for the others.
func castInstant(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramAny, paramText)
	if err != nil {
		return nil, err
	}
	k := kindOf(args[0].dataType())
	switch {
	case len(args) == 1:
		return c.explicitCast(f.nodes[0], args[0], typeTimestampTz)
	case k == kindString:
		if text, _ := constText(args[1]); civil.IsFormat(text) {
			at, err := c.formatted(f, args[0])
			if err != nil {
				return nil, err
			}
			return c.cast(at, typeTimestampTz), nil
		}
	case k == kindTimestampTz:
		return nil, c.errorf(f.nodes[1], "at_zone(ts, zone) is its clock time in a zone", "an instant has no zone to read it in")
	}
	local, err := c.explicitCast(f.nodes[0], args[0], typeTimestamp)
	if err != nil {
		return nil, err
	}
	zone, err := c.zone(f, 1)
	if err != nil {
		return nil, err
	}
	return call(typeTimestampTz, zoneKernel(typeTimestampTz, zone.ToUTC), local), nil
}
