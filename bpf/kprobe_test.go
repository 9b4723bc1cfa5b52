package bpf

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStaleEvent(t *testing.T) {
	tests := []struct {
		name, definition, want string
	}{
		{"return probe", "r4096:redis_observer_0f1e/tcp_recvmsg tcp_recvmsg\n", "redis_observer_0f1e/tcp_recvmsg"},
		{"probe", "p:redis_observer_0f1e/tcp_recvmsg tcp_recvmsg\n", "redis_observer_0f1e/tcp_recvmsg"},
		{"of another program", "r4096:ebpf_0f1e/tcp_recvmsg tcp_recvmsg\n", ""},
		{"of a person", "p:kprobes/redis_observer_x do_sys_open name=redis_observer_y\n", ""},
		{"empty", "\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, staleEvent(test.definition)) })
	}
}
