// Package config turns a YAML file, the environment and the command line into one validated Config, and notices when the file changes.
// It stands above the data path, and hands out values: what uses one does not import this package. It is the only package that imports viper.
//
// Precedence, highest first: flags given on the command line, environment variables (REDIS_OBSERVER_CAPTURE_BACKEND), the file, Default().
//
// Load returns every fault of a configuration at once, joined, each in the form `key.path: cause (allowed …)`; a nil error means that the Config may be used as it is.
// A Config is not changed after Load and may be shared.
package config
