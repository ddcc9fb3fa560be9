package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is what cdc connects through to one of its peers, and what can go wrong with that. Its address stays.
type link struct {
	name, listen, upstream string
	proxy                  *toxiproxy.Proxy
}

// newLink makes a link to an address, until the test ends.
func newLink(t testing.TB, name, upstream string) *link {
	t.Helper()
	l := &link{name: name, listen: "127.0.0.1:0", upstream: upstream}
	if err := l.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// up takes connections, none of which goes wrong. A proxy of its own each time: toxics that are taken out of a running
// one can wait for ever for a reader that is frozen.
func (l *link) up() error {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var err error
	for range 200 { // somebody's connection may have the port for a moment
		l.proxy = toxiproxy.NewProxy(server, l.name, l.listen, l.upstream)
		if err = l.proxy.Start(); err == nil {
			l.listen = l.proxy.Listen
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("link to %s: %w", l.name, err)
}

// down ends every connection and refuses new ones.
func (l *link) down() error {
	return l.within("stop", func() error { l.proxy.Stop(); return nil })
}

// heal ends every connection, and with them what goes wrong.
func (l *link) heal() error {
	if err := l.down(); err != nil {
		return err
	}
	return l.up()
}

// poison makes every connection go wrong in both directions, those that are open too.
func (l *link) poison(kind string, attributes map[string]int) error {
	for _, direction := range []string{"upstream", "downstream"} {
		body, err := json.Marshal(map[string]any{
			"name": kind + " " + direction, "type": kind, "stream": direction, "toxicity": 1, "attributes": attributes,
		})
		if err != nil {
			return err
		}
		err = l.within(kind, func() error {
			_, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(body))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var errHangs = errors.New("the proxy hangs")

// within bounds what the proxy may take.
func (l *link) within(what string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("link to %s: %s: %w", l.name, what, err)
		}
		return nil
	case <-time.After(20 * time.Second):
		return fmt.Errorf("link to %s: %s: %w", l.name, what, errHangs)
	}
}

// freeAddress is one that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
