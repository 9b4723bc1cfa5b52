package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// flagKeys maps flags to the keys that they set.
var flagKeys = map[string]string{
	"listen":        "listen",
	"web-config":    "web_config",
	"backend":       "capture" + delimiter + "backend",
	"ports":         "ports",
	"otlp-endpoint": "otlp" + delimiter + "endpoint",
	"otlp-protocol": "otlp" + delimiter + "protocol",
	"log-level":     "log" + delimiter + "level",
	"log-format":    "log" + delimiter + "format",
}

// AddFlags defines the flags that override the file and the environment. backends are those of a
// Loader.
func AddFlags(flags *pflag.FlagSet, backends []string) {
	AddSourceFlags(flags, backends)
	addLogFlags(flags)
	d := Default()
	flags.String("listen", d.Listen, "listen address of the HTTP endpoint")
	flags.String("web-config", d.WebConfig, "web configuration file for TLS and basic authentication")
	flags.String("otlp-endpoint", d.OTLP.Endpoint, "URL of a collector to export metrics to")
	flags.String("otlp-protocol", d.OTLP.Protocol, "protocol of the collector: grpc or http/protobuf")
}

// AddSourceFlags defines those of the flags that say what is observed, and how.
func AddSourceFlags(flags *pflag.FlagSet, backends []string) {
	addPortsFlag(flags)
	choice := ""
	if len(backends) > 0 {
		choice = ": " + orList(backends)
	}
	flags.String("backend", Default().Capture.Backend, "capture backend"+choice)
}

// AddCountFlags defines those of the flags that matter without an endpoint and a backend.
func AddCountFlags(flags *pflag.FlagSet) {
	addPortsFlag(flags)
	addLogFlags(flags)
}

func addPortsFlag(flags *pflag.FlagSet) {
	flags.StringSlice("ports", texts(Default().Ports), "ports to observe in addition to those of the endpoints")
}

func addLogFlags(flags *pflag.FlagSet) {
	d := Default()
	flags.String("log-level", "info", "minimum log level: debug, info, warn or error")
	flags.String("log-format", d.Log.Format, "log format: text or json")
}

// Loader loads a configuration from the file, the environment and the command line.
type Loader struct {
	Path     string         // path of the file; empty for no file
	Flags    *pflag.FlagSet // parsed flags of AddFlags; nil for none
	Backends []string       // valid values of capture.backend; nil allows any value, for systems without backends
}

// Load returns the validated configuration. The error joins all faults.
func (l Loader) Load() (*Config, error) {
	config, _, err := l.LoadText()
	return config, err
}

// LoadText returns the validated configuration and the text of the file.
func (l Loader) LoadText() (*Config, []byte, error) {
	text, err := readFile(l.Path)
	var config *Config
	if err == nil {
		config, err = l.parse(text)
	}
	if err != nil {
		return nil, nil, loadError(l.Path, err)
	}
	return config, text, nil
}

func loadError(path string, err error) error {
	object, separator := "configuration", " "
	if path != "" && len(Faults(err)) == 0 { // faults name the file
		object += " " + path
	}
	if len(leaves(err)) > 1 {
		separator = "\n"
	}
	return fmt.Errorf("load %s:%s%w", object, separator, err)
}

func (l Loader) parse(text []byte) (*Config, error) {
	root, err := parseText(text)
	o := origin{l, root}
	if root == nil && err != nil {
		return nil, o.locate(err)
	}
	config, more := l.decode(text)
	if err = errors.Join(err, more); err != nil {
		return nil, o.locate(err)
	}
	return config, nil
}

func (l Loader) decode(text []byte) (*Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("read YAML: %w", errors.Unwrap(err))
	}
	for _, key := range leafKeys() {
		if err := v.BindEnv(key, Variable(key)); err != nil {
			return nil, err
		}
	}
	if l.Flags != nil {
		if err := bindFlags(v, l.Flags); err != nil {
			return nil, err
		}
	}
	bindStandard(v, l.overrides)
	config := Default()
	faults := decodeFaults(v.UnmarshalExact(config, func(c *mapstructure.DecoderConfig) {
		c.DecodeHook = decodeHook
		c.WeaklyTypedInput = false
		c.ZeroFields = true // otherwise a shorter list would overwrite only the start of the default list
	}))
	faults = append(faults, unreported(config.validate(l.Backends), faults)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return config, nil
}

// overrides reports whether a flag or the variable of a key sets it.
func (l Loader) overrides(key string) bool {
	if os.Getenv(Variable(key)) != "" {
		return true
	}
	for name, flagged := range flagKeys {
		if flagged == key && l.Flags != nil && l.Flags.Changed(name) {
			return true
		}
	}
	return false
}

// unreported removes the faults of keys that could not be decoded: they do not hold the value of
// the user.
func unreported(faults, reported []error) []error {
	roots := Faults(errors.Join(reported...))
	return slices.DeleteFunc(faults, func(err error) bool {
		var fault *Fault
		return errors.As(err, &fault) && slices.ContainsFunc(roots, func(root *Fault) bool {
			return fault.Path == root.Path || strings.HasPrefix(fault.Path, root.Path+".")
		})
	})
}

// readFile returns the contents of the file at path, or nothing if path is empty.
func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := plainfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (name an existing file with --config)", fs.ErrNotExist)
	}
	return text, err
}

func bindFlags(v *viper.Viper, flags *pflag.FlagSet) error {
	for name, key := range flagKeys {
		flag := flags.Lookup(name)
		if flag == nil {
			continue // the command does not have it
		}
		if err := v.BindPFlag(key, flag); err != nil {
			return err
		}
	}
	return nil
}

func texts(numbers []int) []string {
	var list []string
	for _, n := range numbers {
		list = append(list, strconv.Itoa(n))
	}
	return list
}
