package host_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/host"
)

const unixTable = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 20601 /run/redis/redis-server.sock
0000000000000000: 00000002 00000000 00010000 0005 01 20602 /run/messages
0000000000000000: 00000003 00000000 00000000 0001 03 20603 /run/redis/redis-server.sock
0000000000000000: 00000003 00000000 00000000 0001 03 20604
0000000000000000: 00000002 00000000 00010000 0001 01   605 @redis
0000000000000000: 00000002 00000000 00010000 0001 01 20606 /run/with a space.sock
0000000000000000: 00000002 00000000 00000000 0002 01 20607 /run/systemd/notify
`

func TestUnixListeners(t *testing.T) {
	files := fstest.MapFS{
		"proc/net/unix":    {Data: []byte(unixTable)},
		"proc/7/net/unix":  {Data: []byte("0: 2 0 00010000 0001 01 5 /data/redis.sock\n")},
		"proc/7/ns/net":    {Data: []byte("net:[2]"), Mode: os.ModeSymlink},
		"proc/71/net/unix": {Data: []byte("0: 2 0 00010000 0001 01 5 /the/same/namespace\n")},
		"proc/71/ns/net":   {Data: []byte("net:[2]"), Mode: os.ModeSymlink},
	}
	assert.Equal(t, []string{"/data/redis.sock", "/run/redis/redis-server.sock", "/run/with a space.sock", "@redis"}, host.UnixListeners(files))
}

func TestUnixListenersHere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "listening.sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer listener.Close()
	assert.Contains(t, host.UnixListeners(os.DirFS("/")), path)
}
