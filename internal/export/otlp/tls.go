package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// Files are those of connections by TLS; each may be missing.
type Files struct {
	CA, Certificate, Key string
}

// TLS returns the configuration of connections. The certificate of the client is read again for each
// connection, because it may have been renewed.
func TLS(files Files, serverName string) (*tls.Config, error) {
	config := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		pem, err := plainfile.Read(files.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", files.CA)
		}
	}
	if files.Certificate != "" {
		if _, err := files.pair(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return files.pair() }
	}
	return config, nil
}

// pair reads the certificate of the client and its key.
func (f Files) pair() (*tls.Certificate, error) {
	certificate, err := plainfile.Read(f.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := plainfile.Read(f.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Certificate, err)
	}
	return &pair, nil
}
