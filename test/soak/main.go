package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	observerPort = 24200
	stablePort   = 24201
	victimPort   = 24202
	killedPort   = 24203
)

func main() {
	observer := flag.String("observer", "build/redis-observer", "the program under test")
	duration := flag.Duration("duration", 2*time.Minute, "how long the load runs")
	flag.Parse()
	if err := run(*observer, *duration); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(program string, duration time.Duration) error {
	folder, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	stable, err := startRedis(stablePort)
	if err != nil {
		return err
	}
	defer stable.kill()
	killed, err := startRedis(killedPort)
	if err != nil {
		return err
	}
	defer killed.kill()
	observer, err := startObserver(program, folder)
	if err != nil {
		return err
	}
	defer observer.kill()

	fmt.Printf("soak: %s of load\n", duration)
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	ledger := new(ledger)
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() { keepTalking(ctx, stablePort, nil) })
		load.Go(func() { keepTalking(ctx, victimPort, ledger) })
		load.Go(func() { churn(ctx, stablePort) })
	}
	load.Go(func() { keepKillingServer(ctx, victimPort, ledger) })
	load.Go(func() { keepKillingClients(ctx, killedPort) })
	load.Go(func() { observer.keepReloading(ctx) })
	load.Go(func() { keepScrapingSlowly(ctx) })
	samples := observer.watch(ctx)
	load.Wait()
	time.Sleep(2 * time.Second) // the last events are read, and the gauges published

	return observer.judge(samples, ledger, stablePort)
}
