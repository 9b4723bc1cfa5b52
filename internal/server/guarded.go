package server

import (
	"errors"
	"net"

	"go.yaml.in/yaml/v3"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

var errOpen = errors.New("anybody who reaches the endpoint could read it (set basic_auth_users, or client_auth_type: RequireAndVerifyClientCert, in web_config, or listen on a loopback address)")

// Guarded returns nil if an endpoint at an address with a web configuration, "" for none, is not
// open to everybody who reaches it: it has authentication, or is for processes of this host. The
// file is read with each call, as it is with each request.
func Guarded(address net.Addr, webConfig string) error {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	if webConfig == "" {
		return errOpen
	}
	text, err := plainfile.Read(webConfig)
	if err != nil {
		return err
	}
	var settings struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return err
	}
	if len(settings.Users) == 0 && settings.TLS.ClientAuth != "RequireAndVerifyClientCert" {
		return errOpen
	}
	return nil
}
