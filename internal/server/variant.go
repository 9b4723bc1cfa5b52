package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
)

// variant is the part of a request that changes the page. Requests are reduced to few variants, so
// that unfiltered requests, such as those of Prometheus, share pages.
type variant struct {
	method, filter, format, encoding string
}

func variantOf(r *http.Request) variant {
	v := variant{
		method:   r.Method,
		format:   string(expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)),
		encoding: encodingOf(r.Header.Get("Accept-Encoding")),
	}
	if r.URL.RawQuery != "" {
		v.filter = url.Values{"name[]": r.URL.Query()["name[]"]}.Encode()
	}
	return v
}

// request returns a copy of r in the canonical form of the variant.
func (v variant) request(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.URL.RawQuery = v.filter
	r.Header.Set("Accept", v.format)
	r.Header.Set("Accept-Encoding", v.encoding)
	return r
}

// encodingOf returns gzip if the client accepts it.
func encodingOf(accept string) string {
	for clause := range strings.SplitSeq(accept, ",") {
		coding, rest, _ := strings.Cut(clause, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		quality, given := strings.CutPrefix(strings.ReplaceAll(rest, " ", ""), "q=")
		if q, err := strconv.ParseFloat(quality, 64); !given || err == nil && q > 0 {
			return "gzip"
		}
	}
	return "identity"
}
