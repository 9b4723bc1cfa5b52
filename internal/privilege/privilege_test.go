package privilege

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestNames(t *testing.T) {
	assert.Equal(t, []string{}, Set(0).Names())
	assert.Equal(t, []string{"CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_63"},
		Of(unix.CAP_CHOWN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_PERFMON, unix.CAP_BPF, unix.CAP_CHECKPOINT_RESTORE, 63).Names())
}

func TestWorks(t *testing.T) {
	before, err := Held()
	require.NoError(t, err)
	assert.True(t, Works(0, func() error { return nil }))
	assert.False(t, Works(0, func() error { return errors.New("it does not") }))
	effective := func() error {
		var data sets
		require.NoError(t, unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]))
		if data != makeSets(before&Of(unix.CAP_BPF), before) {
			return errors.New("other capabilities than asked for")
		}
		return nil
	}
	assert.True(t, Works(Of(unix.CAP_BPF), effective))
	after, err := Held()
	require.NoError(t, err)
	assert.Equal(t, before, after, "only the thread of the task is changed")
}

// Drop is final, so it is tested in a child process. It also applies to running threads.
func TestDrop(t *testing.T) {
	if os.Getenv("PRIVILEGE_TEST_DROP") == "" {
		command := exec.Command(os.Args[0], "-test.run", "^TestDrop$", "-test.v")
		command.Env = append(os.Environ(), "PRIVILEGE_TEST_DROP=1")
		output, err := command.CombinedOutput()
		assert.NoError(t, err, "%s", output)
		return
	}
	keep := Of(unix.CAP_BPF)
	before, err := Held()
	require.NoError(t, err)
	ask, held := make(chan struct{}), make(chan Set)
	for range 3 {
		go func() {
			runtime.LockOSThread()
			<-ask
			s, _ := Held()
			held <- s
		}()
	}
	assert.False(t, Works(0, func() error { return errors.New("its thread may still be there") }))
	dropped, err := Drop(keep)
	if errors.Is(err, ErrNotSupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	assert.Equal(t, before&^keep, dropped)
	for range 3 {
		ask <- struct{}{}
		assert.Equal(t, before&keep, <-held)
	}
	if again, err := Drop(0); assert.NoError(t, err) {
		assert.Equal(t, before&keep, again)
	}
}
