// Package otlp tests the export by OTLP of a real observer to the receiver of the OpenTelemetry
// Collector and to a Prometheus with its receiver. It is a module of its own, so that their many
// libraries are none of the observer's.
package otlp
