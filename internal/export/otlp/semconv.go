package otlp

import (
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Semconv converts to the semantic conventions of database clients. Families that they do not know
// keep their names, but have the attributes. Those that it converts have the durations with the label
// error.
type Semconv struct {
	// Operation returns the command of a label, as it is written in commands: "CONFIG GET".
	Operation func(label string) string
	// Server returns the address of a logical name and its port, "" if there is not just one, and 0
	// if it has no port.
	Server func(name string) (address string, port int)
}

// Families that have other names in the conventions.
const (
	durations = "redis_command_duration_seconds"
	pools     = "redis_pool_connections"
)

// nameKey is the attribute of the logical name of a server. The conventions have none.
const nameKey = attribute.Key("redis_observer.name")

// keys are the attributes of labels.
var keys = map[string]attribute.Key{
	"name":                    nameKey,
	"prefix":                  semconv.DBResponseStatusCodeKey,
	"process_executable_name": semconv.ProcessExecutableNameKey,
	"container_id":            semconv.ContainerIDKey,
	"container_name":          semconv.ContainerNameKey,
	"k8s_namespace_name":      semconv.K8SNamespaceNameKey,
	"k8s_pod_name":            semconv.K8SPodNameKey,
	"k8s_container_name":      semconv.K8SContainerNameKey,
	"k8s_owner_kind":          "redis_observer.k8s_owner_kind",
	"k8s_owner_name":          "redis_observer.k8s_owner_name",
	"client_address":          semconv.ClientAddressKey,
	"systemd_unit":            "redis_observer.systemd_unit",
}

// name returns how a family is exported.
func (s *Semconv) name(family *dto.MetricFamily) named {
	as := plain(family)
	as.attributes = s.attributes
	switch family.GetName() {
	case durations:
		as.name, as.attributes = "db.client.operation.duration", s.ofOperation
	case pools:
		as.name, as.unit, as.updown, as.attributes = "db.client.connection.count", "{connection}", true, s.ofPool
	}
	return as
}

// attributes converts the labels of any family.
func (s *Semconv) attributes(labels []*dto.LabelPair) attribute.Set {
	attributes := make([]attribute.KeyValue, 0, len(labels))
	for _, label := range labels {
		attributes = append(attributes, s.attribute(label))
	}
	return attribute.NewSet(attributes...)
}

func (s *Semconv) attribute(label *dto.LabelPair) attribute.KeyValue {
	if label.GetName() == "command" {
		return semconv.DBOperationName(s.Operation(label.GetValue()))
	}
	if key, found := keys[label.GetName()]; found {
		return key.String(label.GetValue())
	}
	return attribute.String(label.GetName(), label.GetValue())
}

// ofOperation converts the labels of the durations.
func (s *Semconv) ofOperation(labels []*dto.LabelPair) attribute.Set {
	attributes := append(make([]attribute.KeyValue, 0, len(labels)+4), semconv.DBSystemNameRedis)
	for _, label := range labels {
		value := label.GetValue()
		switch {
		case label.GetName() == "error":
			attributes = append(attributes, failure(value)...)
			continue
		case value == "": // of a label that does not apply
			continue
		case label.GetName() == "name":
			address, port := s.Server(value)
			if address != "" {
				attributes = append(attributes, semconv.ServerAddress(address))
			}
			if address != "" && port != 0 {
				attributes = append(attributes, semconv.ServerPort(port))
			}
		}
		attributes = append(attributes, s.attribute(label))
	}
	return attribute.NewSet(attributes...)
}

// failure returns what a failure is: the prefix of the server's reply, in capitals, or why there was
// none. Of a success there is nothing.
func failure(kind string) []attribute.KeyValue {
	switch {
	case kind == "":
		return nil
	case kind == "other":
		return []attribute.KeyValue{semconv.ErrorTypeOther}
	case kind[0] >= 'A' && kind[0] <= 'Z':
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(kind), semconv.DBResponseStatusCode(kind)}
	}
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(kind)}
}

// ofPool converts the labels of the pool.
func (s *Semconv) ofPool(labels []*dto.LabelPair) attribute.Set {
	attributes := make([]attribute.KeyValue, 0, len(labels))
	for _, label := range labels {
		switch {
		case label.GetName() == "name":
			attributes = append(attributes, semconv.DBClientConnectionPoolName(label.GetValue()))
		case label.GetName() == "state" && label.GetValue() == "in_use":
			attributes = append(attributes, semconv.DBClientConnectionStateUsed)
		case label.GetName() == "state":
			attributes = append(attributes, semconv.DBClientConnectionStateIdle)
		case label.GetValue() != "":
			attributes = append(attributes, s.attribute(label))
		}
	}
	return attribute.NewSet(attributes...)
}
