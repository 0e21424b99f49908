package datafile

import (
	"sync"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// Compression is most of what writing Parquet costs, and zstd's own C is about a third faster than arrow-go's Go codec at
// level 1. It replaces that codec for the process; what either writes, the other reads.
func init() { compress.RegisterCodec(compress.Codecs.Zstd, zstdCodec{goCodec()}) }

// goCodec is arrow-go's own codec, which keeps serving streams: those are not on Parquet's path.
func goCodec() compress.StreamingCodec {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(err) // arrow-go registers zstd in its own init
	}
	return codec.(compress.StreamingCodec)
}

// zstdCodec keeps contexts in a pool, since making one allocates more than a page's worth of memory.
type zstdCodec struct{ compress.StreamingCodec }

var zstdContexts = sync.Pool{New: func() any { return zstd.NewCtx() }}

const zstdDefaultLevel = 1

func (zstdCodec) CompressBound(n int64) int64 { return int64(zstd.CompressBound(int(n))) }

func (c zstdCodec) Encode(dst, src []byte) []byte {
	return c.EncodeLevel(dst, src, compress.DefaultCompressionLevel)
}

func (zstdCodec) EncodeLevel(dst, src []byte, level int) []byte {
	if level == compress.DefaultCompressionLevel {
		level = zstdDefaultLevel
	}
	ctx := zstdContexts.Get().(zstd.Ctx)
	defer zstdContexts.Put(ctx)
	out, err := ctx.CompressLevel(dst[:cap(dst)], src, level)
	if err != nil {
		// Codec has no error to return; the writer above turns the panic into one. Only memory exhaustion leads here.
		panic(err)
	}
	return out
}

func (c zstdCodec) Decode(dst, src []byte) []byte {
	out, err := c.DecodeWithError(dst, src)
	if err != nil {
		panic(err)
	}
	return out
}

// DecodeWithError makes malformed pages errors; compress.ErrorCodec is what arrow-go looks for. A page that decodes to more
// than its header promised is malformed, so dst is never grown when there is one.
func (zstdCodec) DecodeWithError(dst, src []byte) ([]byte, error) {
	ctx := zstdContexts.Get().(zstd.Ctx)
	defer zstdContexts.Put(ctx)
	if cap(dst) == 0 || len(src) == 0 {
		return ctx.Decompress(dst, src)
	}
	n, err := ctx.DecompressInto(dst[:cap(dst)], src)
	if err != nil {
		return nil, err
	}
	return dst[:n], nil
}
