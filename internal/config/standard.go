package config

import (
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// standardKeys maps keys that variables of the OpenTelemetry specification set, too, to the ends of
// those. Of each, the one for metrics comes first, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT for example.
var standardKeys = map[string]string{
	otlpKey + "protocol":                      "PROTOCOL",
	otlpKey + "headers":                       "HEADERS",
	otlpKey + "timeout":                       "TIMEOUT",
	otlpKey + "compression":                   "COMPRESSION",
	otlpKey + "tls" + delimiter + "ca_file":   "CERTIFICATE",
	otlpKey + "tls" + delimiter + "cert_file": "CLIENT_CERTIFICATE",
	otlpKey + "tls" + delimiter + "key_file":  "CLIENT_KEY",
}

const (
	standardPrefix   = "OTEL_EXPORTER_OTLP_"
	standardInterval = "OTEL_METRIC_EXPORT_INTERVAL"
	otlpKey          = "otlp" + delimiter
	metricsPath      = "v1/metrics"
)

// standard returns the variable of the specification that sets a key, and its value, "" if none does.
func standard(key string) (variable, value string) {
	if !standardWanted() {
		return "", ""
	}
	if key == otlpKey+"interval" {
		return standardInterval, os.Getenv(standardInterval)
	}
	if key == otlpKey+"endpoint" {
		return standardVariable("ENDPOINT")
	}
	if end, ok := standardKeys[key]; ok {
		return standardVariable(end)
	}
	return "", ""
}

// standardVariable returns the more specific of two variables that is set.
func standardVariable(end string) (variable, value string) {
	for _, variable := range []string{standardPrefix + "METRICS_" + end, standardPrefix + end} {
		if value := strings.TrimSpace(os.Getenv(variable)); value != "" {
			return variable, value
		}
	}
	return "", ""
}

// standardWanted reports whether the variables that switch the SDK or its metrics off do not.
func standardWanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	exporters := os.Getenv("OTEL_METRICS_EXPORTER")
	return exporters == "" || slices.Contains(strings.Split(exporters, ","), "otlp")
}

// bindStandard sets the keys of otlp by the variables of the specification. They override the file;
// the variable of a key and its flag override them. Without an endpoint they mean nothing, because
// they may be meant for others.
func bindStandard(v *viper.Viper, overridden func(key string) bool) {
	set := func(key string, convert func(variable, value string) string) {
		if variable, value := standard(key); value != "" && !overridden(key) {
			v.Set(key, convert(variable, value))
		}
	}
	if _, endpoint := standard(otlpKey + "endpoint"); endpoint == "" && v.GetString(otlpKey+"endpoint") == "" {
		return
	}
	plain := func(_, value string) string { return value }
	for key := range standardKeys {
		convert := plain
		if key == otlpKey+"timeout" {
			convert = milliseconds
		}
		set(key, convert)
	}
	set(otlpKey+"interval", milliseconds)
	set(otlpKey+"endpoint", func(variable, value string) string {
		return standardEndpoint(variable, value, v.GetString(otlpKey+"protocol") == GRPC)
	})
}

// milliseconds converts a number of them to a duration.
func milliseconds(_, value string) string { return value + "ms" }

// standardEndpoint converts the URL of a variable to the form of otlp.endpoint: that for metrics is
// complete, the other one is the base of several. With gRPC the scheme may be missing, and a path
// means nothing.
func standardEndpoint(variable, value string, grpc bool) string {
	if !strings.Contains(value, "://") {
		if _, insecure := standardVariable("INSECURE"); strings.EqualFold(insecure, "true") {
			value = "http://" + value
		} else if grpc {
			value = "https://" + value
		}
	}
	endpoint, err := url.Parse(value)
	switch {
	case err != nil:
		return value
	case grpc:
		endpoint.Path = ""
	case strings.HasPrefix(variable, standardPrefix+"METRICS_"):
		if endpoint.Path == "" {
			endpoint.Path = "/"
		}
	default:
		endpoint = endpoint.JoinPath(metricsPath)
	}
	return endpoint.String()
}
