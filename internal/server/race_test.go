//go:build race

package server

import "time"

// The race detector makes everything ten times slower.
const (
	raceDetector  = true
	names         = 2
	streamClients = 25
	scrapeTimeout = 30 * time.Second
)
