// Package config turns a YAML file, the environment and the command line into one validated Config, and names the connections that the observer sees.
//
// It stands beside the data path, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics:
// the tracker asks Names once per connection which logical name it has, the capture takes the ports from Names.
// It is the only package that imports viper.
//
// Precedence, highest first: flags given on the command line, environment variables (REDIS_OBSERVER_CAPTURE_BACKEND), the file, Default().
//
// Load returns every fault of a configuration at once, joined, each in the form `key.path: cause (allowed …)`; a nil error means that the Config may be used as it is.
// A Config is not changed after Load and may be shared. Names may be used by any number of goroutines:
// Resolve reads an immutable table through an atomic pointer and allocates nothing, Apply and the host names' resolution replace that table.
// A NameID is never reused: its Registry grows by the distinct names that were ever configured, and outlives every reload.
package config
