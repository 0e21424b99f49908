package datafile

import "encoding/binary"

// A page of UUIDs as texts has little that a compressor could find out: 32 digits of four bits each, at places known. uuidFrame lays
// them into a zstd frame (RFC 8878) without looking for anything. Each digit is a literal, of four bits but for the last one's five;
// what stands in front of every text but the first few, its length, is copied from the one before:
//
//	raw block        levels, and the first texts with their lengths
//	compressed block no literal; one sequence, which copies a length from 40 bytes before: so that this is the offset to repeat
//	compressed block a text as literals, then the next one's length as a sequence, and so on; the last text has no sequence
//
// Sequences differ in nothing, so that the three codes of each are those of all, and take no bits.
const (
	lengthBytes = 4
	plainUUID   = lengthBytes + unpackedText // bytes on a page

	zstdMagic       = 0xfd2fb528
	singleSegment   = 0xa0 // and four bytes for the content's size
	rawBlock        = 0
	compressedBlock = 2
	maxBlock        = 128 << 10 // content

	// maxFrame is the content that every decoder takes at once: the frame is its own window (RFC 8878, 3.1.1.1.2, asks for 8 MB).
	maxFrame = 8<<20 - plainUUID - levelRoom

	uuidStreams  = 4 // of a block's literals, with as many UUIDs each
	uuidsABlock  = maxBlock / plainUUID / uuidStreams * uuidStreams
	fourStreams  = 2 | 3<<2 // literals that are compressed, in four streams, and sizes of 18 bits
	oneCodeEach  = 1<<6 | 1<<4 | 1<<2
	literals36   = 22 // the code of 32 to 39 literals, by three bits more
	match4       = 1
	repeatOffset = 0
)

// setOffset is the block whose one sequence copies a length from plainUUID bytes before.
var setOffset = []byte{compressedBlock<<1 | 7<<3, 0, 0, 0, 1, oneCodeEach, 0, 5, match4, plainUUID + 3 - 32 | 1<<5}

// hexPair is the bits of a byte's two digits, the last digit's lowest, as its Huffman stream is read from its end.
type hexPair struct {
	bits   uint16
	length uint8
}

var (
	// digitWeights says how long the digits' codes are: the dash's and that of f five bits, all others four. f's follows from the others.
	digitWeights = func() []byte {
		weights := make([]byte, 'f')
		weights['-'] = 1
		for _, c := range "0123456789abcde" {
			weights[c] = 2
		}
		out := []byte{byte(127 + len(weights))}
		for i := 0; i < len(weights); i += 2 {
			out = append(out, weights[i]<<4|weights[i+1])
		}
		return out
	}()
	hexPairs = func() (pairs [256]hexPair) {
		digit := func(d int) (bits uint16, length uint8) {
			if d == 15 {
				return 1, 5
			}
			return uint16(d + 1), 4
		}
		for i := range pairs {
			high, n := digit(i >> 4)
			low, m := digit(i & 15)
			pairs[i] = hexPair{high<<m | low, n + m}
		}
		return pairs
	}()
)

const dashBits = 5 // all zero

// appendUUIDFrame appends the frame of a page: levels, then the text of each of some packed UUIDs behind its length.
func appendUUIDFrame(out, levels, ids []byte) []byte {
	n := len(ids) / packedBytes
	raw := n
	if n > uuidStreams {
		raw = 1 + (n-1)%uuidStreams
	}
	size := len(levels) + raw*plainUUID
	out = binary.LittleEndian.AppendUint32(out, zstdMagic)
	out = binary.LittleEndian.AppendUint32(append(out, singleSegment), uint32(len(levels)+n*plainUUID))
	out = append(appendBlockHeader(out, rawBlock, size, raw == n), levels...)
	for i := range raw {
		out = appendPlainUUID(out, ids[i*packedBytes:])
	}
	if ids = ids[raw*packedBytes:]; len(ids) == 0 {
		return out
	}
	out = append(out, setOffset...)
	for len(ids) > 0 {
		own := ids[:min(len(ids), uuidsABlock*packedBytes)]
		ids = ids[len(own):]
		out = appendUUIDBlock(out, own, len(ids) == 0)
	}
	return out
}

func appendBlockHeader(out []byte, kind, size int, last bool) []byte {
	header := kind<<1 | size<<3
	if last {
		header |= 1
	}
	return append(out, byte(header), byte(header>>8), byte(header>>16))
}

func appendPlainUUID(out, id []byte) []byte {
	out = append(binary.LittleEndian.AppendUint32(out, unpackedText), make([]byte, unpackedText)...)
	unpack36(out[len(out)-unpackedText:], id)
	return out
}

// appendUUIDBlock appends the block of some UUIDs, a multiple of uuidStreams, each followed by a length but for the last of a frame.
func appendUUIDBlock(out, ids []byte, last bool) []byte {
	block, n := len(out), len(ids)/packedBytes
	out = append(appendBlockHeader(out, 0, 0, false), make([]byte, 5)...)
	literals := len(out)
	out = append(out, digitWeights...)
	sizes := len(out)
	out = append(out, make([]byte, 2*(uuidStreams-1))...)
	for i, own := 0, len(ids)/uuidStreams; i < uuidStreams; i++ {
		from := len(out)
		out = appendDigits(out, ids[i*own:(i+1)*own])
		if i < uuidStreams-1 {
			binary.LittleEndian.PutUint16(out[sizes+2*i:], uint16(len(out)-from))
		}
	}
	header := uint64(fourStreams | n*unpackedText<<4 | (len(out)-literals)<<22)
	binary.LittleEndian.PutUint32(out[literals-5:], uint32(header))
	out[literals-1] = byte(header >> 32)
	if last {
		n--
	}
	out = appendSequences(out, n)
	appendBlockHeader(out[:block], compressedBlock, len(out)-block-3, last)
	return out
}

// appendDigits appends a stream of UUIDs' digits and dashes, from the last to the first, which is read from its end.
func appendDigits(out, ids []byte) []byte {
	at := len(out)
	out = append(out, make([]byte, len(ids)/packedBytes*24+8)...) // the greatest takes 180 bits
	have, n := uint64(0), uint(0)
	add := func(b byte) {
		p := hexPairs[b]
		have, n = have|uint64(p.bits)<<(n&63), n+uint(p.length)
	}
	flush := func() {
		binary.LittleEndian.PutUint64(out[at:], have)
		at, have, n = at+int(n>>3), have>>(n&56), n&7
	}
	for i := len(ids) - packedBytes; i >= 0; i -= packedBytes {
		id := ids[i : i+packedBytes : i+packedBytes]
		add(id[15])
		add(id[14])
		add(id[13])
		add(id[12])
		add(id[11])
		flush()
		add(id[10])
		n += dashBits
		add(id[9])
		add(id[8])
		n += dashBits
		add(id[7])
		flush()
		add(id[6])
		n += dashBits
		add(id[5])
		add(id[4])
		n += dashBits
		add(id[3])
		flush()
		add(id[2])
		add(id[1])
		add(id[0])
		flush()
	}
	out[at] = byte(have | 1<<n)
	return out[:at+1]
}

// appendSequences appends n sequences, at least two, each of a text's literals and a length copied.
func appendSequences(out []byte, n int) []byte {
	if n < 128 {
		out = append(out, byte(n))
	} else {
		out = append(out, byte(n>>8+128), byte(n))
	}
	out = append(out, oneCodeEach, literals36, repeatOffset, match4)
	// Three bits each for 36 literals, which are four more than 32; a one behind the last bit.
	for i := range 3 * n / 8 {
		out = append(out, [...]byte{0x24, 0x49, 0x92}[i%3])
	}
	rest := 3 * n % 8
	return append(out, [...]byte{0x24, 0x49, 0x92}[3*n/8%3]&(1<<rest-1)|1<<rest)
}
