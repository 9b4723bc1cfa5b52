//go:build !race

package server

import "time"

const (
	raceDetector  = false
	names         = 20
	streamClients = 125
	scrapeTimeout = 10 * time.Second // the default of Prometheus
)
