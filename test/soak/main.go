package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	observerPort = 24200
	stablePort   = 24201
	victimPort   = 24202
	killedPort   = 24203

	encryptedPort = 24204
	plainPort     = 24205 // of the same server
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

func run(program string, duration time.Duration) (err error) {
	stable, err := kit.StartRedis(stablePort)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stable.Stop()) }()
	killed, err := kit.StartRedis(killedPort)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, killed.Stop()) }()
	encrypted, err := startEncrypted()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, encrypted.stop()) }()
	observer, err := startObserver(program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, observer.Stop()) }()
	if err := encrypted.attach(observer); err != nil {
		return fmt.Errorf("%w\nlog:\n%s", err, observer.Log())
	}

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
	load.Go(func() { encrypted.keepStarting(ctx) })
	load.Go(func() { encrypted.keepBringing(ctx) })
	load.Go(func() { keepReloading(ctx, observer) })
	load.Go(func() { keepScrapingSlowly(ctx) })
	samples := watch(ctx, observer)
	load.Wait()
	time.Sleep(2 * time.Second) // the last events are read, and the gauges published

	return judge(observer, samples, ledger, stable, encrypted)
}
