// Package config reads a YAML file, the environment and the command line into one validated Config,
// and watches the file for changes. It is above the data path and hands out plain values, so that
// their users do not import it. It is the only package that imports viper.
//
// Precedence, highest first: flags set on the command line, environment variables
// (REDIS_OBSERVER_CAPTURE_BACKEND), for otlp those of the OpenTelemetry specification, the file, Default().
//
// Load returns all faults of a configuration at once, joined, each in the form `key.path: cause
// (allowed …)`. A nil error means that the Config is valid. A Config must not change after Load;
// any number of goroutines may share it.
package config
