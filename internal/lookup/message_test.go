package lookup

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// mustMessage returns a response with records that are valid for 60 and 9 seconds.
func mustMessage(tb testing.TB) []byte {
	tb.Helper()
	name := dnsmessage.MustNewName("r.test.")
	message := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, Response: true}}
	for _, ttl := range []uint32{60, 9} {
		message.Answers = append(message.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}},
		})
	}
	packed, err := message.Pack()
	require.NoError(tb, err)
	return packed
}
