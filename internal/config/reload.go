package config

import "reflect"

// RestartKeys returns the keys that differ between two configurations and take effect only after a
// restart.
func RestartKeys(running, next *Config) []string {
	var keys []string
	for _, pair := range []struct {
		key          string
		running, new any
	}{
		{"listen", running.Listen, next.Listen},
		{"web_config", running.WebConfig, next.WebConfig},
		{"capture", running.Capture, next.Capture},
		{"ignore", running.Ignore, next.Ignore},
		{"metrics", running.Metrics, next.Metrics},
		{"extra_commands", running.ExtraCommands, next.ExtraCommands},
		{"renamed_commands", running.RenamedCommands, next.RenamedCommands},
		{"slow_commands", running.SlowCommands, next.SlowCommands},
		{"otlp", running.OTLP, next.OTLP},
		{"log.format", running.Log.Format, next.Log.Format},
	} {
		if !reflect.DeepEqual(pair.running, pair.new) {
			keys = append(keys, pair.key)
		}
	}
	return keys
}
