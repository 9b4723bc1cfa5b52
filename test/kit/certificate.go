package kit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Certificate is a certificate for this machine's loopback addresses that has signed itself, in files.
type Certificate struct {
	File, Key string
	pool      *x509.CertPool
}

// NewCertificate writes a certificate and its key into a folder.
func NewCertificate(folder string) (Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return Certificate{}, err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{File: filepath.Join(folder, "certificate"), Key: filepath.Join(folder, "key"), pool: x509.NewCertPool()}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.pool.AppendCertsFromPEM(text)
	return c, errors.Join(
		os.WriteFile(c.File, text, 0o600),
		os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
}

// ServerOptions are the arguments of a Redis server that listens for TLS on a port.
func (c Certificate) ServerOptions(port int) []string {
	return []string{
		"--tls-port", strconv.Itoa(port), "--tls-cert-file", c.File, "--tls-key-file", c.Key, "--tls-ca-cert-file", c.File, "--tls-auth-clients", "no",
	}
}

// ClientConfig is for clients that trust the certificate alone.
func (c Certificate) ClientConfig() *tls.Config { return &tls.Config{RootCAs: c.pool} }
