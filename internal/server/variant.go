package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
)

// variant is what distinguishes pages. There are few without a filter, however differently they are asked for, so that whoever asks for all,
// as Prometheus does, shares the page with others.
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

// request returns a request like r, which asks for the variant in one form only.
func (v variant) request(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.URL.RawQuery = v.filter
	r.Header.Set("Accept", v.format)
	r.Header.Set("Accept-Encoding", v.encoding)
	return r
}

// encodingOf returns gzip for those who take it.
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
