package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mustTLSConfig writes a web configuration with a fresh certificate and returns its path.
func mustTLSConfig(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(tb, err)
	write := func(name, kind string, der []byte) {
		require.NoError(tb, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	write("cert.pem", "CERTIFICATE", certificate)
	write("key.pem", "EC PRIVATE KEY", private)
	path := filepath.Join(dir, "web.yaml")
	require.NoError(tb, os.WriteFile(path, []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"), 0o600))
	return path
}
