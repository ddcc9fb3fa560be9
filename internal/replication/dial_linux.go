package replication

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged gives up on a peer that acknowledges nothing for a minute. TCP keepalive alone does not: it is
// silent while data of ours is in flight, and a status is sent every few seconds.
func limitUnacknowledged(network, _ string, raw syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" && network != "tcp" {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(time.Minute/time.Millisecond))
	})
	if err != nil {
		return err
	}
	return failed
}
