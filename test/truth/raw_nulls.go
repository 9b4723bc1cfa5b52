package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// reading is a pipeline of requests of which one kind reads keys.
type reading struct {
	requests string    // parted by ";"
	because  exception // of misses that are not as many as the nulls; none where they must be
	times    int       // how often it is sent at once; 0 is once
}

// stored are the keys that there are. None of the others is ever written, but for those that a reading writes itself.
var stored = []string{"SET text x", "HSET hash f v", "RPUSH list a b", "SADD set a b", "ZADD zset 1 a 2 b", "XADD stream 1-1 a b", "GEOADD geo 1 1 a"}

// readings are what is asked, of commands that some server does not know too.
var readings = []reading{
	{requests: "GET text"},
	{requests: "GET no"},
	{requests: "GET no", times: 1000},
	{requests: "GET no;GET text;GET no;GET no", times: 50},
	{requests: "MGET no text no2", times: 20},
	{requests: "MGET no"},
	{requests: "MULTI;GET no;GET text;GET no;EXEC"},
	{requests: "MULTI;MGET no text;EXEC"},
	{requests: "GETSET fresh x"},
	{requests: "GETSET fresh y"},
	{requests: "GETDEL no"},
	{requests: "GETEX no EX 10"},
	{requests: "GETEX text EX 100"},
	{requests: "SET another x GET"},
	{requests: "DUMP no"},
	{requests: "DUMP text"},
	{requests: "HGET no f"},
	{requests: "HGET hash f"},
	{requests: "HMGET no f"},
	{requests: "LINDEX no 0"},
	{requests: "LPOS no a"},
	{requests: "SRANDMEMBER no"},
	{requests: "ZSCORE no a"},
	{requests: "ZRANK no a"},
	{requests: "GEODIST no a b"},
	{requests: "HRANDFIELD no"},
	{requests: "ZRANDMEMBER no"},
	{requests: "STRLEN list"},
	{requests: "SORT list BY nosort GET no:*"},
	{requests: "SET gone x PX 1"},
	{requests: "BLPOP no 0.05", because: nullUncounted},
	{requests: "GET gone"}, // expired
	{requests: "EVAL return(redis.call('GET',KEYS[1])) 1 no"},

	{requests: "HGET hash no", because: nullWithin},
	{requests: "HMGET hash f no no2", because: nullWithin},
	{requests: "HMGET no f g h", because: nullWithin},
	{requests: "HGETEX no FIELDS 2 f g", because: nullWithin},
	{requests: "HGETDEL no FIELDS 2 f g", because: nullWithin},
	{requests: "LINDEX list 9", because: nullWithin},
	{requests: "ZSCORE zset no", because: nullWithin},
	{requests: "ZMSCORE no a b", because: nullWithin},
	{requests: "ZREVRANK zset no", because: nullWithin},
	{requests: "GEOPOS geo a no", because: nullWithin},
	{requests: "GEOHASH no a b", because: nullWithin},
	{requests: "MGET list text", because: nullWithin},
	{requests: "XREAD STREAMS stream 9", because: nullWithin},

	{requests: "SET text x NX", because: nullUncounted},
	{requests: "SET no x XX", because: nullUncounted},
	{requests: "LPOP no", times: 20, because: nullUncounted},
	{requests: "SPOP no", because: nullUncounted},
	{requests: "RPOPLPUSH no no2", because: nullUncounted},
	{requests: "BZPOPMIN no 0.01", because: nullUncounted},
	{requests: "MEMORY USAGE no", because: nullUncounted},

	{requests: "EXISTS no text no", because: missWithoutNull},
	{requests: "TTL no", because: missWithoutNull},
	{requests: "TYPE no", because: missWithoutNull},
	{requests: "TOUCH no text", because: missWithoutNull},
	{requests: "STRLEN no", because: missWithoutNull},
	{requests: "GETRANGE no 0 1", because: missWithoutNull},
	{requests: "GETBIT no 1", because: missWithoutNull},
	{requests: "HEXISTS no f", because: missWithoutNull},
	{requests: "HGETALL no", because: missWithoutNull},
	{requests: "LRANGE no 0 1", because: missWithoutNull},
	{requests: "SMEMBERS no", because: missWithoutNull},
	{requests: "SINTER no set", because: missWithoutNull},
	{requests: "ZRANGE no 0 1", because: missWithoutNull},
	{requests: "XRANGE no - +", because: missWithoutNull},
	{requests: "SORT no", because: missWithoutNull},
	{requests: "XREAD STREAMS no 0", because: missTwice},
	{requests: "CLIENT REPLY SKIP;MGET no", because: silentMiss},
}

// rawNulls reads keys that there are and keys that there are not, and asks the server after each what it found and missed.
func rawNulls(_ context.Context, r *round) error {
	r.found = map[string]lookups{}
	of := readings
	object := reading{requests: "OBJECT ENCODING no"}
	if !r.server.since(6.2, 0) {
		object.because = nullUncounted
	}
	of = append(of[:len(of):len(of)], object)
	for _, protocol := range []string{"PING", "HELLO 3"} {
		if err := r.onNew(func(w *wire) error {
			if _, err := w.ask(append([]string{protocol, "FLUSHALL"}, stored...)...); err != nil {
				return err
			}
			for _, one := range of {
				if err := r.lookUp(w, one); err != nil {
					return fmt.Errorf("%s: %w", one.requests, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		r.allow(scriptInner, "get", exactly(1), exactly(0))
	}
	return nil
}

// lookUp sends a reading, and keeps what the server makes of it under the command's label. An exception is demanded, not only
// allowed.
func (r *round) lookUp(w *wire, one reading) error {
	before, err := r.admin.lookups()
	if err != nil {
		return err
	}
	requests := strings.Split(one.requests, ";")
	answered := len(requests)
	if one.because == silentMiss {
		answered = 0
	}
	times := max(1, one.times)
	if err := w.send(strings.Repeat(commands(requests...), times)); err != nil {
		return err
	}
	replies, err := w.read(answered * times)
	if err != nil {
		return err
	}
	if answered == 0 {
		time.Sleep(aLittle)
	}
	after, err := r.admin.lookups()
	if err != nil {
		return err
	}
	found, label := after.less(before), labelOf(requests)
	r.found[label] = r.found[label].plus(found)
	if one.because == (exception{}) || len(replies) == 1 && replies[0].Failed() {
		return nil
	}
	surplus := found.misses - nullsIn(replies)
	if fewer := one.because == nullWithin || one.because == nullUncounted; surplus == 0 || fewer != (surplus < 0) {
		return fmt.Errorf("is no exception by %s: the server missed %d keys more than there were nulls", one.because.name, surplus)
	}
	r.allowMisses(one.because, label, exactly(surplus))
	return nil
}

// labelOf returns the label of what reads in a pipeline: of its first request, or of what stands in a transaction or behind CLIENT.
func labelOf(requests []string) string {
	reads := requests[0]
	if len(requests) > 1 && (reads == "MULTI" || strings.HasPrefix(reads, "CLIENT ")) {
		reads = requests[1]
	}
	fields := strings.Fields(reads)
	if fields[0] == "OBJECT" || fields[0] == "MEMORY" {
		return kit.Label(fields[0] + "|" + fields[1])
	}
	return kit.Label(fields[0])
}
