//go:build race

package server

import "time"

// With the race detector everything takes ten times as long.
const (
	raceDetector  = true
	names         = 2
	streamClients = 1
	scrapeTimeout = 30 * time.Second
)
