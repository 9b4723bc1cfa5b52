package main

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"github.com/alicebob/miniredis/v2"

	"github.com/redis-observer/redis-observer/test/kit"
)

// redis is the server that is observed.
type redis struct {
	name   string
	server *kit.Redis // nil if it is the embedded one
	stop   func() error
}

// diesWithDemo makes a child end if this program is killed.
func diesWithDemo() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// startRedis starts an installed redis-server, or else one in this process.
func startRedis() (*redis, error) {
	path, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) {
		return startEmbedded()
	}
	if err != nil {
		return nil, fmt.Errorf("find redis-server: %w", err)
	}
	command := exec.Command(path)
	command.SysProcAttr = diesWithDemo()
	server, err := kit.StartServer(command, port, "--bind", "127.0.0.1", "127.0.0.2")
	if err != nil {
		return nil, fmt.Errorf("%w (is port %d in use?)", err, port)
	}
	return &redis{name: path, server: server, stop: server.Stop}, nil
}

func startEmbedded() (*redis, error) {
	var servers []*miniredis.Miniredis
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		server := miniredis.NewMiniRedis()
		if err := server.StartAddr(fmt.Sprintf("%s:%d", host, port)); err != nil {
			return nil, fmt.Errorf("start the embedded Redis on port %d: %w", port, err)
		}
		servers = append(servers, server)
	}
	stop := func() error {
		for _, server := range servers {
			server.Close()
		}
		return nil
	}
	return &redis{name: "an embedded one, as redis-server is not installed,", stop: stop}, nil
}
