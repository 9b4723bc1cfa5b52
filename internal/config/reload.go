package config

import "reflect"

// RestartKeys returns the keys in which two configurations differ, and which take effect only at the next start.
func RestartKeys(running, next *Config) []string {
	var keys []string
	for _, pair := range []struct {
		key          string
		running, new any
	}{
		{"listen", running.Listen, next.Listen},
		{"web_config", running.WebConfig, next.WebConfig},
		{"capture", running.Capture, next.Capture},
		{"metrics", running.Metrics, next.Metrics},
		{"extra_commands", running.ExtraCommands, next.ExtraCommands},
		{"renamed_commands", running.RenamedCommands, next.RenamedCommands},
		{"log.format", running.Log.Format, next.Log.Format},
	} {
		if !reflect.DeepEqual(pair.running, pair.new) {
			keys = append(keys, pair.key)
		}
	}
	return keys
}
