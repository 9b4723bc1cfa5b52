package server

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGuarded(t *testing.T) {
	for _, test := range []struct {
		name, address, webConfig string
		guarded                  bool
	}{
		{"open", "0.0.0.0:9479", "", false},
		{"one address", "192.0.2.1:9479", "", false},
		{"loopback", "127.0.0.2:9479", "", true},
		{"loopback IPv6", "[::1]:9479", "", true},
		{"all addresses", "[::]:9479", "", false},
		{"users", "[::]:9479", "basic_auth_users: {me: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n", true},
		{"no users", "[::]:9479", "basic_auth_users: {}\n", false},
		{"TLS alone", "[::]:9479", "tls_server_config: {cert_file: a, key_file: b}\n", false},
		{"certificates on request", "[::]:9479", "tls_server_config: {cert_file: a, key_file: b, client_auth_type: VerifyClientCertIfGiven}\n", false},
		{"any certificate", "[::]:9479", "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}\n", false},
		{"certificates", "[::]:9479", "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}\n", true},
		{"not YAML", "[::]:9479", "{", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, err := net.ResolveTCPAddr("tcp", test.address)
			require.NoError(t, err)
			file := ""
			if test.webConfig != "" {
				file = filepath.Join(t.TempDir(), "web.yaml")
				require.NoError(t, os.WriteFile(file, []byte(test.webConfig), 0o600))
			}
			assert.Equal(t, test.guarded, Guarded(address, file) == nil)
		})
	}
	assert.Error(t, Guarded(&net.TCPAddr{IP: net.IPv4zero}, "/nonexistent"))
}
