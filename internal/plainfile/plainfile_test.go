package plainfile

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("file"), []byte("text"), 0o600))
	require.NoError(t, os.Symlink("file", at("link")))
	require.NoError(t, os.WriteFile(at("largest"), make([]byte, Limit), 0o600))
	require.NoError(t, os.WriteFile(at("larger"), make([]byte, Limit+1), 0o600))
	require.NoError(t, os.WriteFile(at("huge"), nil, 0o600))
	require.NoError(t, os.Truncate(at("huge"), 1<<40))
	require.NoError(t, unix.Mkfifo(at("fifo"), 0o600))
	require.NoError(t, os.Symlink("fifo", at("link to fifo")))
	socket, err := net.Listen("unix", at("socket"))
	require.NoError(t, err)
	defer socket.Close()
	tests := []struct{ name, fault string }{
		{"file", ""},
		{"link", ""},
		{"largest", ""},
		{"larger", "is larger than 1024 KiB"},
		{"huge", "is larger than 1024 KiB"},
		{"fifo", "is a FIFO, not a regular file"},
		{"link to fifo", "is a FIFO, not a regular file"},
		{"socket", "is a socket, not a regular file"},
		{"../../../../../../../../dev/zero", "is a device, not a regular file"},
		{".", "is a directory"},
		{"missing", "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Now()
			text, err := Read(at(test.name))
			checked := Check(at(test.name))
			assert.Less(t, time.Since(begin), 10*time.Second)
			if test.fault == "" {
				assert.NoError(t, err)
				assert.NoError(t, checked)
				assert.NotEmpty(t, text)
				return
			}
			assert.ErrorContains(t, err, test.fault)
			assert.ErrorContains(t, checked, test.fault)
			assert.ErrorContains(t, err, filepath.Base(at(test.name)))
		})
	}
}

// Files in /proc have size 0 but contents.
func TestReadWhatHasNoSize(t *testing.T) {
	_, err := Read("/proc/self/status")
	assert.ErrorIs(t, err, errChanging)
}

// A file that is being written is read completely or not at all.
func TestReadBesideAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	halves := [2][]byte{make([]byte, Limit/4), make([]byte, Limit/2)}
	require.NoError(t, os.WriteFile(path, halves[0], 0o600))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			assert.NoError(t, os.WriteFile(path+".new", halves[i%2], 0o600))
			assert.NoError(t, os.Rename(path+".new", path))
		}
	})
	for range 100 {
		text, err := Read(path)
		require.NoError(t, err)
		assert.Contains(t, []int{len(halves[0]), len(halves[1])}, len(text))
	}
	close(stop)
	writer.Wait()
}
