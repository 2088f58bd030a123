// Package codec turns Go values into bytes and back, so that a task's argument or result can leave its process.
//
// A [Plan] belongs to one Go type and is built once. It says whether values of the type can cross at all, and
// carries the functions that write and read them. [Encoded] is a written value: a head, a body, and the
// references found inside. A [Special] is a type with bytes of its own that may add a [Ref] to the value's
// table of references: the runtime's refs, actors and arrays are Specials. An [Error] names the type, the path
// of the field and the reason when a value cannot cross.
//
// # Bytes
//
// An encoded value is a header of 32 bytes, the table of references, zeros up to the next multiple of 64, and
// the payload. Numbers are in the order of the host, because only machines of one architecture run the code of
// one job; the magic number shows a stranger. The payload has one of five forms:
//
//	raw    a value without pointers and without padding: its memory
//	text   a string: its bytes
//	slice  a slice of raw elements: its backing array; nil is a flag of the header
//	tree   everything else, field by field
//	top    whatever a [TopLevel] type gives, starting at a multiple of 64 so that it can be viewed in place;
//	       nothing at all is its zero value, and the same flag of the header
//
// Inside a tree, raw values are their memory; strings are a length and their bytes; slices and maps are 0 for
// nil, else 1 + their length, and their elements; a slice of strings is its lengths and then all bytes; a
// pointer is a byte and what it points to; an interface is a byte, the number of its registered concrete type
// and the value; times are seconds, nanoseconds and offset; types with a codec of their own (protobuf,
// encoding.BinaryMarshaler, [RegisterCodec]) are a length and bytes. Maps are written in the order of their
// keys' bytes: equal maps give equal bytes, unless their keys hold references. Pointers that share a target get a
// copy each.
//
// # What holds
//
// Decode never keeps a part of the bytes it was given, except through Specials, and never panics for bad
// bytes: each length is compared with what is left before memory is taken for it. Nesting is bounded by
// [MaxDepth] on both ways, which also ends cycles. The header has a hash of the type's structure, so that
// bytes of another type are refused; names of types do not count, names of fields do.
//
// Everything is safe for concurrent use. Plans and registrations live as long as the process. One mutex
// guards building and registering; no user code runs under it. Registrations come before the plans that need
// them: a refused type is looked at again at the next call, a plan once built never changes.
//
// # What it does not do
//
// It knows no versions of a type: a job is one program. It does not keep shared or cyclic structure. It checks
// no content hashes; the owner of an object does.
//
// # Rejected
//
// CBOR (fxamacker/cbor) for trees: it falls back to json tags, drops unexported fields, loses the types of
// interfaces and the fractions of seconds, overflows the stack on cycles and has no place for a context or a
// table of references. A plan must walk the type to mend each of these; writing the bytes during that same walk
// is less code than bending the library. encoding/gob sends types again with every value.
package codec
