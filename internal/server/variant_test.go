package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The canonical request has the same variant.
func TestVariant(t *testing.T) {
	handler := options().Metrics
	for _, accept := range []string{
		"", "*/*", "text/plain", "text/html;q=0.123", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		"application/openmetrics-text; version=1.0.0; charset=utf-8",
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=values;q=0.5",
		"application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;q=0.3",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
	} {
		for encoding, want := range map[string]string{
			"": "", "gzip": "gzip", "deflate, gzip;q=0.5": "gzip", "gzip; q=0": "", "gzip;q=x": "", "br": "", "x-gzip": "",
		} {
			for query, size := range map[string]int{"": 1, "?x=1": 1, "?name[]=test_total&x=2": 1, "?name[]=other": 0} {
				r := httptest.NewRequest(http.MethodGet, "/metrics"+query, nil)
				r.Header.Set("Accept", accept)
				r.Header.Set("Accept-Encoding", encoding)
				direct, shared := httptest.NewRecorder(), httptest.NewRecorder()
				handler.ServeHTTP(direct, r)
				v := variantOf(r)
				handler.ServeHTTP(shared, v.request(r))
				assert.Equal(t, direct.Header(), shared.Header(), "%s, %s", accept, encoding)
				assert.Equal(t, direct.Body.Bytes(), shared.Body.Bytes(), "%s, %s", accept, encoding)
				assert.Equal(t, want, shared.Header().Get("Content-Encoding"), encoding)
				if want == "" && size == 0 {
					assert.NotContains(t, shared.Body.String(), "test_total")
				}
				assert.Equal(t, query != "" && query != "?x=1", v.filter != "", query)
			}
		}
	}
}
