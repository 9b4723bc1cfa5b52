package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

const (
	victims  = 4  // clients of the victim's server at once
	pipeline = 60 // commands of a pipeline
)

// behave is the well-behaved client: connections that are opened, used one command at a time and in pipelines, and closed when every reply was read.
func behave(s *scene) error {
	errs := make([]error, victims)
	var wait sync.WaitGroup
	for i := range victims {
		wait.Go(func() {
			for range s.scale(500) {
				if errs[i] = visit(); errs[i] != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// visit opens a connection, uses it and closes it.
func visit() error {
	c, err := dial(victimPort)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Do("INCR", "counter"); err != nil {
			return err
		}
	}
	// Of each three commands the last one is refused by the server.
	batch := append(append(resp.Request("SET", "text", "x"), resp.Request("GET", "text")...), resp.Request("LPUSH", "text", "x")...)
	requests := make([]byte, 0, pipeline/3*len(batch))
	for range pipeline / 3 {
		requests = append(requests, batch...)
	}
	for range 5 {
		if err := c.Send(requests); err != nil {
			return err
		}
		failed, err := c.Receive(pipeline)
		if err != nil {
			return err
		}
		if failed != pipeline/3 {
			return fmt.Errorf("%d of %d commands failed", failed, pipeline)
		}
	}
	return nil
}

// arrive is many connections to the victim's server, each with a pipeline in one long write. They stay open, so that each has a place of its own.
func arrive(s *scene) error {
	const commands = 120
	for range 2000 {
		c, err := dial(victimPort)
		if err != nil {
			return err
		}
		s.atEnd(c.Close)
		if err := exchange(c, resp.Repeat(commands, "SET", "key", "value"), commands); err != nil {
			return err
		}
	}
	return nil
}
