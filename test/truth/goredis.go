package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// goRedis runs go-redis with both protocols.
func goRedis(ctx context.Context, r *round) error {
	for _, protocol := range []int{2, 3} {
		options, err := goredis.ParseURL(r.transport.url(r.Redis))
		if err != nil {
			return err
		}
		if options.TLSConfig != nil {
			options.TLSConfig = certificate.ClientConfig()
		}
		options.Protocol, options.PoolSize, options.MinIdleConns = protocol, 12, 3
		db := goredis.NewClient(options)
		err = errors.Join(
			goRedisPool(ctx, db), goRedisPipelines(ctx, db), goRedisTransactions(ctx, db),
			goRedisCache(ctx, db), goRedisPubSub(ctx, db), goRedisBlocking(ctx, r, db), goRedisScripts(ctx, r, db), goRedisErrors(ctx, db))
		if err := errors.Join(err, db.Close()); err != nil {
			return fmt.Errorf("protocol %d: %w", protocol, err)
		}
	}
	return nil
}

// goRedisPool shares the pool among goroutines.
func goRedisPool(ctx context.Context, db *goredis.Client) error {
	return parallel(16, func(n int) error {
		for i := range 60 {
			key := fmt.Sprintf("key:%d:%d", n, i)
			if err := errors.Join(
				db.Set(ctx, key, strings.Repeat("x", i*i*10), 0).Err(), db.Get(ctx, key).Err(),
				db.HSet(ctx, "hash:"+key, "a", 1, "b", 2).Err(), db.HGetAll(ctx, "hash:"+key).Err(),
				db.ZAdd(ctx, "zset", goredis.Z{Score: float64(i), Member: key}).Err(), db.ZRangeWithScores(ctx, "zset", 0, 10).Err(),
				db.Incr(ctx, "counter").Err(), db.SAdd(ctx, "set", key).Err(), db.SMembers(ctx, "set").Err()); err != nil {
				return err
			}
		}
		return nil
	})
}

// goRedisCache asks for keys that there are and for others, as one does of a cache.
func goRedisCache(ctx context.Context, db *goredis.Client) error {
	return parallel(4, func(n int) error {
		for i := range 50 {
			cached, missing := fmt.Sprintf("cached:%d:%d", n, i), fmt.Sprintf("missing:%d:%d", n, i)
			if err := db.Set(ctx, cached, i, 0).Err(); err != nil {
				return err
			}
			_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error { // its error is the null of the first one
				p.Get(ctx, missing)
				p.Get(ctx, cached)
				p.MGet(ctx, missing, cached, missing)
				return nil
			})
			for _, err := range []error{err, db.Get(ctx, missing).Err(), db.HGet(ctx, missing, "field").Err()} {
				if !errors.Is(err, goredis.Nil) {
					return fmt.Errorf("a key that is missing: %w", err)
				}
			}
		}
		return nil
	})
}

func goRedisPipelines(ctx context.Context, db *goredis.Client) error {
	return parallel(4, func(int) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range 1000 {
				p.Set(ctx, fmt.Sprint("pipelined:", i), i, time.Minute)
				p.Get(ctx, fmt.Sprint("pipelined:", i))
				p.LPush(ctx, "list", i)
			}
			return nil
		})
		return err
	})
}

// goRedisTransactions has some that fail: by a watched key, by an element, by a command that is not queued.
func goRedisTransactions(ctx context.Context, db *goredis.Client) error {
	for range 20 {
		_, _ = db.TxPipelined(ctx, func(p goredis.Pipeliner) error { // its elements fail
			p.Set(ctx, "text", "x", 0)
			p.LPush(ctx, "text", "x")
			p.Incr(ctx, "counter")
			return nil
		})
		_, _ = db.TxPipelined(ctx, func(p goredis.Pipeliner) error { // EXECABORT
			p.Set(ctx, "text", "x", 0)
			p.Do(ctx, "GET")
			return nil
		})
		_ = db.Watch(ctx, func(tx *goredis.Tx) error { // fails, for the key changes meanwhile
			if err := db.Incr(ctx, "watched").Err(); err != nil {
				return err
			}
			_, err := tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
				p.Set(ctx, "never", 1, 0)
				return nil
			})
			return err
		}, "watched")
	}
	return nil
}

func goRedisPubSub(ctx context.Context, db *goredis.Client) error {
	sub := db.Subscribe(ctx, "a", "b")
	defer sub.Close()
	if err := errors.Join(sub.PSubscribe(ctx, "p*", "q*"), sub.Ping(ctx)); err != nil {
		return err
	}
	messages := sub.Channel()
	if err := parallel(4, func(n int) error {
		for i := range 50 {
			if err := errors.Join(db.Publish(ctx, "a", i).Err(), db.Publish(ctx, "pattern", n).Err(), db.Publish(ctx, "nobody", n).Err()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for range 50 {
		select {
		case <-messages:
		case <-time.After(patience):
			return errors.New("no message came")
		}
	}
	go func() {
		for range messages { // until the subscription is closed
		}
	}()
	defer time.Sleep(aLittle) // the server would not read what came before a reset
	return errors.Join(sub.Unsubscribe(ctx, "a", "nothing"), sub.PUnsubscribe(ctx), sub.Unsubscribe(ctx))
}

// goRedisBlocking has some that time out and some that are served.
func goRedisBlocking(ctx context.Context, r *round, db *goredis.Client) error {
	return parallel(6, func(n int) error {
		queue := fmt.Sprint("queue:", n)
		if n%2 == 0 {
			time.AfterFunc(50*time.Millisecond, func() { db.RPush(ctx, queue, "x") })
		}
		err := db.BLPop(ctx, time.Second, queue).Err()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		_ = db.XRead(ctx, &goredis.XReadArgs{Streams: []string{"stream", "$"}, Block: 20 * time.Millisecond}).Err() // times out
		r.allowMisses(missTwice, "xread", exactly(1))
		return err
	})
}

func goRedisScripts(ctx context.Context, r *round, db *goredis.Client) error {
	script := goredis.NewScript("redis.call('SETNX', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")
	const times = 10
	for range times {
		if err := script.Run(ctx, db, []string{"scripted"}, "x").Err(); err != nil {
			return err
		}
	}
	r.allow(scriptInner, "setnx", exactly(times), exactly(0))
	r.allow(scriptInner, "get", exactly(times), exactly(0))
	r.allowEngine(1)
	return db.ScriptFlush(ctx).Err()
}

// goRedisErrors asks for what fails.
func goRedisErrors(ctx context.Context, db *goredis.Client) error {
	for range 20 {
		db.Set(ctx, "text", "x", 0)
		db.LPush(ctx, "text", "x")
		db.Do(ctx, "NOSUCH", "command")
		db.Do(ctx, "CONFIG", "NOSUCH")
		db.Do(ctx, "CONFIG")
		db.Do(ctx, "GET", "too", "many", "arguments")
		db.Do(ctx, "DEBUG", "SLEEP", "0")
	}
	return nil
}

// parallel runs n goroutines and joins their errors.
func parallel(n int, f func(int) error) error {
	all := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { all[i] = f(i) })
	}
	group.Wait()
	return errors.Join(all...)
}

// goRedisStripped runs the program without symbols that uses go-redis.
func goRedisStripped(ctx context.Context, r *round) error {
	c, err := strippedProgram(ctx, r)
	if err != nil {
		return err
	}
	_, err = r.execute(ctx, c, "")
	return err
}

func strippedToucher(ctx context.Context, r *round) (*exec.Cmd, error) {
	return strippedProgram(ctx, r, "touch")
}

// strippedProgram builds the program once for all rounds.
func strippedProgram(ctx context.Context, r *round, arguments ...string) (*exec.Cmd, error) {
	binary := filepath.Join(r.work, "goredis")
	if _, err := os.Stat(binary); err != nil {
		if err := command(ctx, os.Stderr, "go", "build", "-pgo=off", "-ldflags", "-s -w", "-o", binary, "./test/truth/clients/goredis"); err != nil {
			return nil, err
		}
	}
	return exec.Command(binary, append([]string{r.transport.url(r.Redis), certificate.File}, arguments...)...), nil
}
