package otlp

import (
	"context"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// describe returns what the metrics are of. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override
// it. Without an instance, which Prometheus makes the label of, those of several hosts would be one.
func describe(ctx context.Context, options *Options) *resource.Resource {
	attributes := []attribute.KeyValue{semconv.ServiceName("redis-observer"), semconv.ServiceVersion(options.Version)}
	instance, _ := os.Hostname() // without one there is no instance
	if node := os.Getenv("NODE_NAME"); node != "" {
		attributes = append(attributes, semconv.K8SNodeName(node))
		instance = node
	}
	if instance != "" {
		attributes = append(attributes, semconv.ServiceInstanceID(instance))
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(attributes...), resource.WithFromEnv())
	if err != nil {
		options.Logger.Warn("the description of this host is not complete", "error", err)
	}
	return described
}
