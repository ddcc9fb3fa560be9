package replication

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Unreadable says why a connection string cannot be used, without quoting it: it holds a password. what names it.
func Unreadable(what string, err error) error {
	const form = "want postgres://user:password@host:5432/database"
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); !ok {
		return fmt.Errorf("%s is not a Postgres connection string: %s", what, form)
	}
	// Only what is known to be about a parameter or a file is repeated.
	switch cause := errors.Unwrap(err); {
	case cause == nil:
	case strings.Contains(cause.Error(), "sslmode is invalid"):
		return fmt.Errorf("%s: its sslmode is not one that Postgres knows: want disable, allow, prefer, require, verify-ca or verify-full", what)
	case strings.Contains(cause.Error(), "CA to cert pool"):
		return fmt.Errorf("%s: the file of its sslrootcert holds no certificate in PEM form: give that of the authority that signed the server's", what)
	default:
		if text := cause.Error(); strings.HasPrefix(text, "unable to") || strings.Contains(text, "sslkey") {
			return fmt.Errorf("%s: its certificate or key cannot be used: %w; check sslrootcert, sslcert and sslkey", what, cause)
		}
	}
	return fmt.Errorf("%s is not a Postgres connection string: %s", what, form)
}

// Remedy is what a person can do about a connection that was not made; empty when nothing is known.
func Remedy(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.As(err, &name):
		return "the server's certificate is for another host: connect by a name that it has, or use sslmode=verify-ca if the network is trusted"
	case errors.As(err, &authority):
		return "the server's certificate is signed by an authority that is not trusted here: set sslrootcert to that authority's certificate"
	case errors.As(err, &invalid), errors.As(err, &certificate):
		return "the server's certificate cannot be trusted: have it renewed, or set sslrootcert to the right authority's certificate"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "the server speaks no TLS: turn ssl on there, or use sslmode=prefer or disable if the network is trusted"
	case errors.As(err, &dns):
		return "the host's name is not known here: check the address, and the name service"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is Postgres running, and are host and port right?"
	}
	switch code(err) {
	case "28P01", "28000":
		if strings.Contains(err.Error(), "pg_hba.conf") {
			return "pg_hba.conf has to let this role connect to this database from here (a logical replication connection matches the database's name); " +
				"where it says no encryption, use sslmode=require"
		}
		return "user or password are wrong: in an address, characters such as @ : / ? # % are percent-encoded"
	case "3D000":
		return "the database's name is wrong"
	case stateConnections:
		return "raise max_connections, or have other clients close theirs"
	case "57P03":
		return "the server is starting or stopping: try again"
	case stateUndefined:
		return "take out the parameter that Postgres does not know; those of other clients, such as pgbouncer or schema, mean nothing here"
	}
	return ""
}
