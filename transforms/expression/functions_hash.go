package expression

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/cespare/xxhash/v2"

	"github.com/varve-lake/varve/transforms/internal/rowkey"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Keys and hashes",
		fn("hash(x, ...)", "A 64-bit hash (xxHash) of one or more values as a long; never null, as a null counts as a value. It is the same in every version.",
			`hash("a", 1) == hash("a", 1) and hash("a", nil) != hash(nil, "a")`, rowHash(typeLong, hashLong)),
		fn("surrogate_key(x, ...)", "A text of 32 hexadecimal digits that stands for the values, nulls included.",
			`len(surrogate_key("UA", 1)) == 32`, rowHash(typeString, hashText)),
		fn("key_uuid(x, ...)", "A uuid (version 5) that stands for the values, nulls included.",
			`key_uuid("UA", 1) == key_uuid("UA", 1)`, rowHash(typeUUID, hashUUID)),
		fn("sha256(x)", "The SHA-256 of a text or bytes, in hexadecimal.",
			`left(sha256("abc"), 8) == "ba7816bf"`, strict(typeString, digest(func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }), paramBytes)),
		fn("md5(x)", "The MD5 of a text or bytes, in hexadecimal.",
			`md5("abc") == "900150983cd24fb0d6963f7d28e17f72"`, strict(typeString, digest(func(b []byte) []byte { s := md5.Sum(b); return s[:] }), paramBytes)),
		fn("toBase64(x)", "A text or bytes in base64.", `toBase64("abc") == "YWJj"`,
			strict(typeString, encodeBytes(base64.StdEncoding.AppendEncode), paramBytes)),
		fn("fromBase64(s)", "The text that base64 stands for.", `fromBase64("YWJj") == "abc"`, fromBase64),
		fn("hex(x)", "A text or bytes in hexadecimal.", `hex("abc") == "616263"`, strict(typeString, encodeBytes(hex.AppendEncode), paramBytes)),
	)
}

// rowHash makes a function of the encoded values of a row.
func rowHash(t arrow.DataType, finish func(r *rowkey.Rows, n int) (arrow.Array, error)) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		if err := f.arity(c, 1, -1); err != nil {
			return nil, err
		}
		args := make([]node, len(f.nodes))
		for i := range f.nodes {
			v, err := c.argument(f, i, paramAny)
			if err != nil {
				return nil, err
			}
			args[i] = v
		}
		run := func(_ *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
			columns := make([]arrow.Array, len(args))
			for i, a := range args {
				columns[i] = a.arr
			}
			var rows rowkey.Rows
			if err := rows.Encode(columns, n); err != nil {
				return nil, nil, err
			}
			out, err := finish(&rows, n)
			return out, nil, err
		}
		return call(t, run, args...), nil
	}
}

func hashLong(r *rowkey.Rows, n int) (arrow.Array, error) {
	out := vector.Alloc[int64](n)
	for i := range out {
		out[i] = int64(xxhash.Sum64(r.Bytes(i)))
	}
	return vector.FromValues(typeLong, out, nil), nil
}

func hashText(r *rowkey.Rows, n int) (arrow.Array, error) {
	out := vector.NewTextBuilder(n, 32*n)
	for i := range n {
		sum := sha256.Sum256(r.Bytes(i))
		out.Data = hex.AppendEncode(out.Data, sum[:16])
		out.End()
	}
	return out.Finish(typeString, nil)
}

// keySpace is the namespace of key_uuid, drawn once.
var keySpace = [16]byte{0x5d, 0x0b, 0x7e, 0x6a, 0x2f, 0x1c, 0x5b, 0x4e, 0x9a, 0x83, 0x61, 0xd4, 0x27, 0xc9, 0x10, 0xfe}

func hashUUID(r *rowkey.Rows, n int) (arrow.Array, error) {
	out, h := vector.Alloc[[16]byte](n), sha1.New()
	for i := range out {
		h.Reset()
		h.Write(keySpace[:])
		h.Write(r.Bytes(i))
		copy(out[i][:], h.Sum(nil))
		out[i][6] = out[i][6]&0x0f | 0x50 // RFC 9562: version 5
		out[i][8] = out[i][8]&0x3f | 0x80
	}
	return vector.FromValues(typeUUID, out, nil), nil
}

// digest writes a hash of bytes in hexadecimal.
func digest(sum func([]byte) []byte) kernel {
	return encodeBytes(func(dst, b []byte) []byte { return hex.AppendEncode(dst, sum(b)) })
}

// encodeBytes makes text of bytes.
func encodeBytes(encode func(dst, src []byte) []byte) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		if kindOf(args[0].arr.DataType()) == kindNull {
			return vector.Nulls(typeString, n), nil, nil
		}
		read := bytesReader(args[0].arr)
		return computeTexts(typeString, n, 32*n, ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return encode(dst, read(i)), ""
		})
	}
}

func fromBase64(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramText)
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in := vector.TextsOf(args[0].arr)
		return computeTexts(typeBinary, n, in.Size(), ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			out, err := base64.StdEncoding.AppendDecode(dst, in.Bytes(i))
			if err != nil {
				return dst, fmt.Sprintf("%.80q is not base64", in.At(i))
			}
			return out, ""
		})
	}
	return c.cast(call(typeBinary, run, args...), typeString), nil
}
