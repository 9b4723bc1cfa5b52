// Program goredis uses go-redis from 200 goroutines. The suite builds it without symbols.
//
//	goredis URL [CERTIFICATE]          works
//	goredis URL CERTIFICATE touch      opens a connection for each line that it reads, sends one PING, and answers by a line
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "goredis:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	options, err := redis.ParseURL(args[0])
	if err != nil {
		return err
	}
	options.PoolSize = 50
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if options.TLSConfig != nil {
		text, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		options.TLSConfig.RootCAs = x509.NewCertPool()
		options.TLSConfig.RootCAs.AppendCertsFromPEM(text)
	}
	if len(args) > 2 {
		return touch(ctx, options)
	}
	db := redis.NewClient(options)
	defer db.Close()
	failures := make([]error, 200)
	var all sync.WaitGroup
	for n := range failures {
		all.Go(func() { failures[n] = work(ctx, db, n) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// work has the goroutines grow their stacks differently, as a caller's frames would.
func work(ctx context.Context, db *redis.Client, n int) error {
	if n%4 > 0 {
		var frame [4096]byte
		frame[n%len(frame)] = byte(n)
		err := work(ctx, db, n-1)
		if frame[n%len(frame)] != byte(n) {
			return errors.New("the stack was changed")
		}
		return err
	}
	for i := range 30 {
		key := fmt.Sprintf("key:%d", n)
		if err := errors.Join(db.Set(ctx, key, strings.Repeat("x", i*i*20), 0).Err(), db.Get(ctx, key).Err()); err != nil {
			return err
		}
		if db.LPush(ctx, key, "wrong type").Err() == nil {
			return errors.New("LPUSH on a string succeeded")
		}
		if _, err := db.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range 10 {
				p.Incr(ctx, "counter")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func touch(ctx context.Context, options *redis.Options) error {
	options.DisableIdentity = true
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		db := redis.NewClient(options)
		if err := errors.Join(db.Ping(ctx).Err(), db.Close()); err != nil {
			return err
		}
		fmt.Println("touched")
	}
	return nil
}
