package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

func TestUnixNotes(t *testing.T) {
	folder := t.TempDir()
	bound, link := filepath.Join(folder, "bound.sock"), filepath.Join(folder, "link.sock")
	listener, err := net.Listen("unix", bound)
	require.NoError(t, err)
	defer listener.Close()
	require.NoError(t, os.Symlink(bound, link))
	for _, test := range []struct {
		name       string
		configured []string
		listening  []string
		want       []string
	}{
		{"nothing configured", nil, []string{"/run/dbus/system_bus_socket", "/run/valkey/valkey.sock", "@keydb"}, []string{
			"a server listens on the Unix socket /run/valkey/valkey.sock, which is not configured (write unix:/run/valkey/valkey.sock)",
			"a server listens on the Unix socket @keydb, which is not configured (write unix:@keydb)",
		}},
		{"relative", nil, []string{"redis.sock"}, []string{
			"a server listens on the Unix socket redis.sock, which is not configured (a relative path cannot be observed; set unixsocket of the server to an absolute path)",
		}},
		{"with control characters", nil, []string{"@redis\x1b]0;x\a", "@redis\x9b2J"}, []string{
			`a server listens on the Unix socket "@redis\x1b]0;x\a", which is not configured (write "unix:@redis\x1b]0;x\a")`,
			`a server listens on the Unix socket "@redis\x9b2J", which is not configured (write "unix:@redis\x9b2J")`,
		}},
		{"as configured", []string{"/run/redis.sock", "@redis"}, []string{"/run/redis.sock", "@redis"}, nil},
		{"by the old name of the folder", []string{"/run/redis.sock"}, []string{"/var/run/redis.sock"}, nil},
		{"not there", []string{"/run/redis.sock"}, []string{"/run/other.sock"}, []string{"nothing on this host listens on unix:/run/redis.sock"}},
		{"by a link", []string{link}, []string{bound}, []string{
			"nothing on this host listens on unix:" + link + "; its server bound it as " + bound + " (write unix:" + bound + ")",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var paths []event.Path
			for _, text := range test.configured {
				paths = append(paths, event.Path{Text: text})
			}
			assert.Equal(t, test.want, unixNotes(paths, test.listening))
		})
	}
}
