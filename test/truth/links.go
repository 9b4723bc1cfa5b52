package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// linkTime is how long servers may take to find one another.
const linkTime = 20 * time.Second

// replication attaches a real replica to the server, writes, lets the link break and come back, and detaches it.
func replication(ctx context.Context, r *round) error {
	replica, err := r.another(false, append([]string{"--replicaof", "127.0.0.1", strconv.Itoa(r.Port)}, r.client.options...)...)
	if err != nil {
		return err
	}
	defer replica.stop()
	if err := replica.await(ctx, "INFO replication", "master_link_status:up"); err != nil {
		return err
	}
	for range 2 {
		if err := r.chatter(1200 * time.Millisecond); err != nil { // there is an acknowledgement in every second
			return err
		}
		if err := r.dialogue(asked("SET a 1", "INCR a", "WAIT 1 1000", "MULTI", "INCR a", "EXEC")); err != nil {
			return err
		}
		if _, err := replica.admin.do("REPLICAOF NO ONE"); err != nil {
			return err
		}
		if _, err := replica.admin.do("REPLICAOF 127.0.0.1 " + strconv.Itoa(r.Port)); err != nil {
			return err
		}
		if err := replica.await(ctx, "INFO replication", "master_link_status:up"); err != nil {
			return err
		}
	}
	r.allow(waitTwice, "wait", span{0, 4}, exactly(0))
	return nil
}

// await asks a server until its answer holds a text.
func (i *instance) await(ctx context.Context, line, text string) error {
	for deadline := time.Now().Add(linkTime); ; time.Sleep(20 * time.Millisecond) {
		r, err := i.admin.do(line)
		if err != nil {
			return err
		}
		if strings.Contains(fmt.Sprint(r), text) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s never showed %q", line, text)
		}
	}
}

// sentinel has a sentinel watch the server for a while.
func sentinel(ctx context.Context, r *round) error {
	file := filepath.Join(r.folder, "sentinel.conf")
	port := r.Port + unobserved + 2
	settings := fmt.Sprintf("port %d\nsentinel monitor watched 127.0.0.1 %d 1\n", port, r.Port)
	if r.transport.sentinel != nil {
		settings = r.transport.sentinel() + settings
	}
	if err := writeFile(file, settings); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := r.execute(ctx, r.server.program(r.cache, "server", file, "--sentinel"), "")
	if ctx.Err() == nil {
		return fmt.Errorf("the sentinel ended: %w: %s", err, tail(out))
	}
	return r.dialogue(asked("GET a"))
}

// migration moves keys from another server to this one and back.
func migration(ctx context.Context, r *round) error {
	peer, err := r.another(true)
	if err != nil {
		return err
	}
	here, err := r.dial()
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := newWire(peer.transport.dial(peer.Redis))
	if err != nil {
		return err
	}
	defer there.Close()
	for n := range 5 {
		if _, err := here.ask(fmt.Sprintf("SET k%d x", n), "SET other x", fmt.Sprintf("MIGRATE 127.0.0.1 %d k%d 0 1000 REPLACE", peer.Port, n),
			fmt.Sprintf("MIGRATE 127.0.0.1 %d other 3 1000 COPY REPLACE", peer.Port)); err != nil {
			return err
		}
		if _, err := there.ask(fmt.Sprintf("MIGRATE 127.0.0.1 %d k%d 0 1000 COPY", r.Port, n), fmt.Sprintf("MIGRATE 127.0.0.1 %d none 0 1000", r.Port),
			fmt.Sprintf("MIGRATE 127.0.0.1 %d k%d 0 1000", r.Port, n)); err != nil { // the last one meets a key that exists
			return err
		}
	}
	return nil
}

// cluster makes a cluster of two and uses it with clients that follow redirections, and with one that does not.
func cluster(ctx context.Context, r *round) error {
	if _, err := r.cluster(ctx); err != nil {
		return err
	}
	return errors.Join(clusterClient(ctx, r), r.redirected(), r.clusterTool(ctx))
}

// cluster starts a second node and makes a cluster of the two.
func (r *round) cluster(ctx context.Context) (*instance, error) {
	peer, err := r.another(true, r.server.clusterOptions(r.server.port+1)...)
	if err != nil {
		return nil, err
	}
	half := []string{slots(0, 8191), slots(8192, 16383)}
	for i, node := range []*instance{r.instance, peer} {
		if _, err := node.admin.do("CLUSTER ADDSLOTS " + half[i]); err != nil {
			return nil, err
		}
		if _, err := node.admin.do(fmt.Sprint("CLUSTER SET-CONFIG-EPOCH ", i+1)); err != nil {
			return nil, err
		}
	}
	meet := fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d", peer.Port)
	if r.server.version >= 7 {
		meet += " " + strconv.Itoa(peer.Port+clusterBus)
	}
	if _, err := r.admin.do(meet); err != nil {
		return nil, err
	}
	for _, node := range []*instance{r.instance, peer} {
		if err := node.await(ctx, "CLUSTER INFO", "cluster_state:ok"); err != nil {
			return nil, err
		}
		if err := node.await(ctx, "CLUSTER INFO", "cluster_known_nodes:2"); err != nil {
			return nil, err
		}
	}
	return peer, nil
}

// slotMigration moves slots to another node at a stroke, while clients write to them.
func slotMigration(ctx context.Context, r *round) error {
	peer, err := r.cluster(ctx)
	if err != nil {
		return err
	}
	id, err := peer.admin.do("CLUSTER MYID")
	if err != nil {
		return err
	}
	if err := clusterClient(ctx, r); err != nil {
		return err
	}
	moved, err := r.admin.do("CLUSTER MIGRATESLOTS SLOTSRANGE 0 4000 NODE " + id.Text)
	if err != nil {
		return err
	}
	if moved.Failed() {
		return fmt.Errorf("CLUSTER MIGRATESLOTS: %s", moved.Text)
	}
	err = errors.Join(clusterTransactions(ctx, r), r.await(ctx, "CLUSTER GETSLOTMIGRATIONS", "success"), clusterClient(ctx, r))
	r.allow(linkBackwards, "cluster_syncslots", span{2, 4}, exactly(0))
	return err
}

// clusterTransactions writes to both nodes in transactions.
func clusterTransactions(ctx context.Context, r *round) error {
	db := r.clusterClient()
	defer db.Close()
	for i := range 1000 {
		key := fmt.Sprintf("key:%d", i)
		if _, err := db.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Set(ctx, key, i, 0)
			return p.Incr(ctx, key).Err()
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) clusterClient() *goredis.ClusterClient {
	options := &goredis.ClusterOptions{Addrs: []string{r.Address()}}
	if r.transport.name == "tls" {
		options.TLSConfig = certificate.ClientConfig()
	}
	return goredis.NewClusterClient(options)
}

// slots writes a range of slots out, as all versions take them.
func slots(from, to int) string {
	var b strings.Builder
	for slot := from; slot <= to; slot++ {
		fmt.Fprintf(&b, "%d ", slot)
	}
	return b.String()
}

func clusterClient(ctx context.Context, r *round) error {
	db := r.clusterClient()
	defer db.Close()
	return parallel(4, func(n int) error {
		for i := range 100 {
			key := fmt.Sprintf("key:%d:%d", n, i)
			_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
				p.Set(ctx, key, i, 0)
				p.Incr(ctx, key)
				return p.Get(ctx, "another:"+key).Err()
			})
			if err != nil && !errors.Is(err, goredis.Nil) {
				return err
			}
			if err := db.Get(ctx, key).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// redirected asks the wrong node.
func (r *round) redirected() error {
	all := []error{r.dialogue(asked("GET a", "GET b", "GET c", "MGET a b", "SET a 1", "SET b 1", "ASKING", "GET a", "CLUSTER SLOTS", "READONLY", "GET a"),
		asked("MULTI", "GET a", "GET b", "GET c", "EXEC"))}
	if r.server.since(7.0, 0) {
		all = append(all, r.dialogue(told(1, "SSUBSCRIBE {b}x"), asked("PING"), told(1, "SUNSUBSCRIBE")))
	}
	return errors.Join(all...)
}

// clusterTool has the command line client follow redirections.
func (r *round) clusterTool(ctx context.Context) error {
	_, err := r.tool(ctx, "cli", "SET a 1\nSET b 2\nSET c 3\nGET a\nGET b\nGET c\nCLUSTER NODES\n", "-c")
	return err
}
