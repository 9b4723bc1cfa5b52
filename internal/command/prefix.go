package command

import "bytes"

// Prefix is an error prefix of the closed table: a small integer, dense from 0.
type Prefix uint8

// OtherPrefix stands for every error prefix that is not in the table.
const OtherPrefix Prefix = 0

// prefixNames are the error prefixes of Redis, Valkey and Sentinel, by Prefix.
var prefixNames = [...]string{
	"other",
	"ERR", "WRONGTYPE", "MOVED", "ASK", "NOAUTH", "NOPERM", "NOSCRIPT", "LOADING", "MASTERDOWN", "READONLY", "OOM", "MISCONF",
	"NOREPLICAS", "BUSY", "BUSYKEY", "BUSYGROUP", "NOGROUP", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN", "EXECABORT", "WRONGPASS",
	"NOPROTO", "UNBLOCKED", "UNKILLABLE", "NOTBUSY", "INPROG", "IOERR", "NOQUORUM", "NOGOODSLAVE", "NOMASTERLINK", "REDIRECT",
	"INVALIDOBJ", "DENIED",
}

var prefixes = func() map[string]Prefix {
	m := make(map[string]Prefix, len(prefixNames))
	for i, name := range prefixNames[1:] {
		m[name] = Prefix(i + 1)
	}
	return m
}()

// maxPrefix is within how many bytes the server itself searches for the end of a prefix: 32 with
// the type byte.
const maxPrefix = 31

// LookupPrefix returns the prefix of an error, given its text without the type byte, by the
// server's own rule (afterErrorReply in networking.c): the word before the first space, or ERR if
// no space comes soon.
func LookupPrefix(errorText []byte) Prefix {
	end := bytes.IndexByte(errorText[:min(len(errorText), maxPrefix)], ' ')
	if end < 0 {
		return prefixes["ERR"]
	}
	return prefixes[string(errorText[:end])] // no allocation: the compiler sees that the key is only looked up
}

// PrefixCount is the number of prefixes, OtherPrefix included: every Prefix is less.
const PrefixCount = len(prefixNames)

// String returns the prefix as the server writes it, or "other".
func (p Prefix) String() string {
	if int(p) >= len(prefixNames) {
		return prefixNames[OtherPrefix]
	}
	return prefixNames[p]
}
