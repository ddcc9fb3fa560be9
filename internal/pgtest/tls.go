package pgtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Authority signs certificates, for tests of TLS. Nobody trusts it who is not told to.
type Authority struct {
	PEM []byte // its own certificate, what sslrootcert names a file of

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority of that name.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	template := certificate(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	return &Authority{PEM: block("CERTIFICATE", raw), certificate: parsed, key: key}, nil
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // the system's source does not fail
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func block(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

// Issue makes a server's certificate for hosts, which are names or addresses, and its key; both as PEM.
func (a *Authority) Issue(hosts ...string) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate: %w", err)
	}
	template := certificate(hosts[0])
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate: %w", err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate: %w", err)
	}
	return block("CERTIFICATE", raw), block("PRIVATE KEY", pkcs), nil
}

// UseTLS has the running server show this certificate to new connections.
func (c *Cluster) UseTLS(ctx context.Context, cert, key []byte) error {
	for name, content := range map[string][]byte{"server.crt": cert, "server.key": key} {
		path := filepath.Join(c.Dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("use TLS: %w", err)
		}
		if err := c.account.give(path); err != nil {
			return fmt.Errorf("use TLS: %w", err)
		}
	}
	return c.SetSettings(ctx, map[string]string{"ssl": "on"})
}

// SetHBA replaces the rules of who may connect how, as lines of pg_hba.conf. The superuser postgres always may, from
// this machine, without a password.
func (c *Cluster) SetHBA(ctx context.Context, lines ...string) error {
	rules := append([]string{"host all postgres 127.0.0.1/32 trust"}, lines...)
	if err := os.WriteFile(filepath.Join(c.Dir, "pg_hba.conf"), []byte(strings.Join(rules, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("set who may connect: %w", err)
	}
	return c.Reload(ctx)
}
