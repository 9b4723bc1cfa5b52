package config

import (
	"log/slog"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/command"
)

// Config is the whole configuration.
type Config struct {
	Listen          string            `mapstructure:"listen"`
	WebConfig       string            `mapstructure:"web_config"`
	Capture         Capture           `mapstructure:"capture"`
	Ports           []int             `mapstructure:"ports"`
	DefaultName     string            `mapstructure:"default_name"`
	Endpoints       []Endpoint        `mapstructure:"endpoints"`
	Ignore          Ignore            `mapstructure:"ignore"`
	ResolveInterval time.Duration     `mapstructure:"resolve_interval"`
	Metrics         Metrics           `mapstructure:"metrics"`
	ExtraCommands   []string          `mapstructure:"extra_commands"`
	RenamedCommands map[string]string `mapstructure:"renamed_commands"`
	SlowCommands    SlowCommands      `mapstructure:"slow_commands"`
	OTLP            OTLP              `mapstructure:"otlp"`
	Log             Log               `mapstructure:"log"`
}

// Capture configures the capture backend.
type Capture struct {
	Backend         string        `mapstructure:"backend"`
	RingSize        Size          `mapstructure:"ring_size"`
	FlushInterval   time.Duration `mapstructure:"flush_interval"`
	MaxBytesPerCall Size          `mapstructure:"max_bytes_per_call"`
	Interfaces      []string      `mapstructure:"interfaces"`
	TLS             string        `mapstructure:"tls"`
	UserNamespaces  string        `mapstructure:"user_namespaces"`
}

// Endpoint gives a logical name to addresses.
type Endpoint struct {
	Name      string            `mapstructure:"name"`
	Addresses []address.Address `mapstructure:"addresses"`
	Role      address.Role      `mapstructure:"role"`
}

// Metrics configures the exported metrics.
type Metrics struct {
	Buckets          []float64 `mapstructure:"buckets"`
	NativeHistograms bool      `mapstructure:"native_histograms"`
	Phases           bool      `mapstructure:"phases"` // histograms of the parts of a duration that bytes lay in the socket
	CommandNames     string    `mapstructure:"command_names"`
	// Labels are those of the owner of a connection (owner.Labels).
	Labels       []string      `mapstructure:"labels"`
	MaxLabelSets int           `mapstructure:"max_label_sets"`
	LabelTTL     time.Duration `mapstructure:"label_ttl"`
}

// Style returns the style of the command label.
func (m *Metrics) Style() command.Style {
	if m.CommandNames == RedisPyNames {
		return command.RedisPy
	}
	return command.Wire
}

// SlowCommands configures the list of slow commands.
type SlowCommands struct {
	Size      int           `mapstructure:"size"` // 0: none are kept
	Threshold time.Duration `mapstructure:"threshold"`
}

// Log configures logging.
type Log struct {
	Level  slog.Level `mapstructure:"level"`
	Format string     `mapstructure:"format"`
}

// The values of metrics.command_names.
const (
	WireNames    = "wire"
	RedisPyNames = "redis-py"
)

// The values of capture.tls.
const (
	Auto = "auto"
	Off  = "off"
)

// The values of capture.user_namespaces.
const (
	Allow   = "allow"
	Unnamed = "unnamed"
)

// The values of log.format.
const (
	TextFormat = "text"
	JSONFormat = "json"
)

// Names returns the number of distinct logical names, including the default name.
func (c *Config) Names() int {
	names := map[string]bool{c.DefaultName: true}
	for _, endpoint := range c.Endpoints {
		if endpoint.Role != address.Ignore {
			names[endpoint.Name] = true
		}
	}
	delete(names, "") // without a default name nothing else counts
	return len(names)
}

// Identities returns the greatest number of distinct sets of labels, which are names if there are no
// other labels.
func (c *Config) Identities() int {
	if len(c.Metrics.Labels) == 0 {
		return c.Names()
	}
	return c.Metrics.MaxLabelSets + c.Names() // each name may have one beyond the limit
}

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		Listen: ":9479",
		Capture: Capture{
			Backend:         "auto",
			RingSize:        16 << 20,
			FlushInterval:   100 * time.Millisecond,
			MaxBytesPerCall: 1 << 20,
			Interfaces:      []string{},
			TLS:             Auto,
			UserNamespaces:  Allow,
		},
		Ports:           []int{6379},
		DefaultName:     "default",
		Endpoints:       []Endpoint{},
		Ignore:          Ignore{Processes: []string{}, Units: []string{}, Namespaces: []string{}},
		ResolveInterval: 30 * time.Second,
		Metrics: Metrics{
			Buckets: []float64{
				0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
				0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
			},
			CommandNames: WireNames,
			Labels:       []string{},
			MaxLabelSets: 1000,
			LabelTTL:     time.Hour,
		},
		ExtraCommands:   []string{},
		RenamedCommands: map[string]string{},
		SlowCommands:    SlowCommands{Threshold: 10 * time.Millisecond},
		OTLP: OTLP{
			Protocol:    HTTPProtobuf,
			Headers:     Headers{},
			Interval:    time.Minute,
			Timeout:     10 * time.Second,
			Compression: NoCompression,
			Names:       SemconvNames,
		},
		Log: Log{Level: slog.LevelInfo, Format: TextFormat},
	}
}
