package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	client "github.com/redis/go-redis/v9"
)

// applications are the programs that use Redis.
type applications struct {
	clients []*client.Client
	workers sync.WaitGroup
	lock    sync.Mutex
	errors  []error
}

// startApplications starts them; they rest when ctx ends, with their connections open.
func startApplications(ctx context.Context) *applications {
	a := &applications{}
	a.start(ctx, "127.0.0.1", useCache)
	a.start(ctx, "127.0.0.2", useQueue)
	return a
}

// start lets four workers of an application repeat a round every two milliseconds.
func (a *applications) start(ctx context.Context, host string, round func(context.Context, *client.Client, int) error) {
	db := client.NewClient(&client.Options{Addr: fmt.Sprintf("%s:%d", host, port), DisableIdentity: true})
	a.clients = append(a.clients, db)
	for worker := range 4 {
		a.workers.Go(func() {
			for i := worker; ctx.Err() == nil; i += 4 {
				// A round that began is finished, so that the counts at the end are whole.
				if err := round(context.WithoutCancel(ctx), db, i); err != nil {
					a.failed(fmt.Errorf("use Redis at %s: %w", host, err))
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
}

func (a *applications) failed(err error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.errors = append(a.errors, err)
}

// wait returns when they rest.
func (a *applications) wait() error {
	a.workers.Wait()
	return errors.Join(a.errors...)
}

// close closes their connections.
func (a *applications) close() {
	for _, db := range a.clients {
		_ = db.Close()
	}
}

// useCache reads and writes sessions, with a pipeline, and with an error now and then.
func useCache(ctx context.Context, db *client.Client, i int) error {
	session := fmt.Sprint("session:", i%1000)
	if err := db.Set(ctx, session, "user", time.Hour).Err(); err != nil {
		return err
	}
	_, err := db.Pipelined(ctx, func(p client.Pipeliner) error {
		for range 16 {
			p.Get(ctx, session)
		}
		p.Incr(ctx, "visits")
		return nil
	})
	if err != nil {
		return err
	}
	if i%20 == 0 && db.LPush(ctx, session, "x").Err() == nil { // WRONGTYPE
		return errors.New("LPUSH to a string succeeded")
	}
	return nil
}

// useQueue passes jobs through a list, in a transaction, and waits for some of them.
func useQueue(ctx context.Context, db *client.Client, i int) error {
	_, err := db.TxPipelined(ctx, func(p client.Pipeliner) error {
		p.LPush(ctx, "jobs", i)
		p.HSet(ctx, "job:last", "id", i)
		return nil
	})
	if err != nil {
		return err
	}
	return db.BRPop(ctx, time.Second, "jobs").Err()
}
