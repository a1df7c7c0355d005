// Everything go-zookeeper can ask, and its strict readers of four-letter words.
// Arguments: the server's address, a file to make when the server may be restarted,
// and a file that appears once it has been; then, for TLS, the server's authority, a certificate and its key in PEM, and
// the plain port's address, where the words are asked. With "probe" in place of the first file it only tells whether it
// gets in.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"sort"
	"time"

	"github.com/go-zookeeper/zk"
)

const limit = 20 * time.Second

// restart is how long a restart of the server may take.
const restart = 60 * time.Second

var guid = regexp.MustCompile(`_c_[0-9a-f]{32}-`)

type quiet struct{}

func (quiet) Printf(string, ...interface{}) {}

// dial is how a connection is made; over TLS if there are files for it.
var dial zk.Dialer = net.DialTimeout

// secure makes connections of TLS, with a certificate if it is named.
func secure(authority, certificate, key string) zk.Dialer {
	pem, err := os.ReadFile(authority)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if err != nil || !config.RootCAs.AppendCertsFromPEM(pem) {
		fmt.Fprintln(os.Stderr, "the authority cannot be used:", err)
		os.Exit(1)
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			fmt.Fprintln(os.Stderr, "the certificate cannot be used:", err)
			os.Exit(1)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, network, address, config)
	}
}

func begin(address string, timeout time.Duration) *zk.Conn {
	conn, _, err := zk.Connect([]string{address}, timeout, zk.WithLogger(quiet{}), zk.WithDialer(dial))
	if err != nil {
		fmt.Println("connect !", err)
		os.Exit(1)
	}
	return conn
}

func connect(address string, timeout time.Duration) *zk.Conn {
	conn := begin(address, timeout)
	answers(conn)
	return conn
}

// probe tells whether this client gets in, which it may try for some seconds.
func probe(address string) {
	conn := begin(address, 8*time.Second)
	defer conn.Close()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn.State() == zk.StateHasSession {
			fmt.Println("gets in")
			return
		}
	}
	fmt.Println("does not get in")
}

// answers waits until the server answers, through lost connections. Events of the connection do
// not tell: their channel is short, and what does not fit is dropped.
func answers(c *zk.Conn) {
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err = c.Sync("/"); err == nil {
			return
		}
	}
	fmt.Fprintln(os.Stderr, "no answer:", err)
	os.Exit(1)
}

func show(label string, values ...interface{}) {
	fmt.Print(label, " ->")
	for _, value := range values {
		switch v := value.(type) {
		case nil:
		case *zk.Stat:
			if v != nil {
				fmt.Printf(" v=%d cv=%d av=%d kids=%d len=%d owned=%v", v.Version, v.Cversion, v.Aversion,
					v.NumChildren, v.DataLength, v.EphemeralOwner != 0)
			}
		case []byte:
			fmt.Printf(" %q", v)
		case string:
			fmt.Print(" ", guid.ReplaceAllString(v, "_c_<id>-"))
		case error:
			fmt.Print(" ! ", v)
		default:
			fmt.Printf(" %v", v)
		}
	}
	fmt.Println()
}

func event(label string, events <-chan zk.Event) {
	select {
	case e := <-events:
		show(label, e.Type.String(), e.Path, e.Err)
	case <-time.After(limit):
		show(label, "MISSING")
	}
}

func nodes(c *zk.Conn) {
	open := zk.WorldACL(zk.PermAll)
	for _, flags := range []int32{0, zk.FlagEphemeral, zk.FlagSequence, zk.FlagEphemeral | zk.FlagSequence} {
		path, err := c.Create(fmt.Sprintf("/go/n%d-", flags), []byte("x"), flags, open)
		show("create", path, err)
	}
	path, err := c.Create("/go/n0-", nil, 0, open)
	show("create again", path, err)
	path, err = c.CreateContainer("/go/container", nil, zk.FlagContainer, open)
	show("container", path, err)
	path, err = c.CreateTTL("/go/ttl", nil, zk.FlagTTL, open, time.Hour)
	show("ttl", path, err)
	path, err = c.CreateProtectedEphemeralSequential("/go/protected-", nil, open)
	show("protected", path, err)
	stat, err := c.Set("/go/n0-", []byte("new"), 0)
	show("set", stat, err)
	stat, err = c.Set("/go/n0-", []byte("newer"), 0)
	show("set with a stale version", stat, err)
	data, stat, err := c.Get("/go/n0-")
	show("get", data, stat, err)
	found, stat, err := c.Exists("/go/none")
	show("exists", found, err)
	show("delete nothing", c.Delete("/go/none", -1))
	show("delete with children", c.Delete("/go", -1))
	children, stat, err := c.Children("/go")
	sort.Strings(children)
	show("children", fmt.Sprint(children), stat, err)
	synced, err := c.Sync("/go")
	show("sync", synced, err)
	_, err = c.IncrementalReconfig([]string{"server.9=localhost:1:2;3"}, nil, -1)
	show("reconfig", err)
}

func multi(c *zk.Conn) {
	open := zk.WorldACL(zk.PermAll)
	results, err := c.Multi(&zk.CreateRequest{Path: "/go/m", Data: []byte("1"), Acl: open},
		&zk.SetDataRequest{Path: "/go/m", Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: "/go/m", Version: 1}, &zk.DeleteRequest{Path: "/go/m", Version: 1})
	for _, result := range results {
		show("multi", result.String, result.Stat, result.Error)
	}
	show("multi", err)
	results, err = c.Multi(&zk.CreateRequest{Path: "/go/m", Data: nil, Acl: open},
		&zk.CheckVersionRequest{Path: "/go/none", Version: 1}, &zk.DeleteRequest{Path: "/go/m", Version: -1})
	for _, result := range results {
		show("failed multi", result.String, result.Error)
	}
	show("failed multi", err)
}

func access(c *zk.Conn, address string) {
	show("auth", c.AddAuth("digest", []byte("me:pw")))
	path, err := c.Create("/go/closed", []byte("s"), 0, zk.DigestACL(zk.PermAll, "me", "pw"))
	show("closed", path, err)
	acl, stat, err := c.GetACL("/go/closed")
	show("its list", fmt.Sprint(acl), stat, err)
	other := connect(address, 8*time.Second)
	defer other.Close()
	_, _, err = other.Get("/go/closed")
	show("another reads", err)
	show("a bad scheme", other.AddAuth("nonsense", []byte("x")))
	stat, err = c.SetACL("/go/closed", zk.WorldACL(zk.PermRead), 0)
	show("opened", stat, err)
}

// watches leaves three watches behind that must outlive the server's restart.
func watches(c, other *zk.Conn) (kept [3]<-chan zk.Event) {
	_, _, data, _ := c.GetW("/go/n0-")
	_, _, absent, _ := c.ExistsW("/go/new")
	_, _, children, _ := c.ChildrenW("/go")
	other.Set("/go/n0-", []byte("w"), -1)
	event("data", data)
	other.Create("/go/new", nil, 0, zk.WorldACL(zk.PermAll))
	event("created", absent)
	event("children", children)
	_, _, kept[0], _ = c.GetW("/go/n0-")
	_, _, kept[1], _ = c.ExistsW("/go/later")
	_, _, kept[2], _ = c.ChildrenW("/go/new")
	return kept
}

var buildDate = regexp.MustCompile(`built on (\d{4})-(\d\d)-(\d\d)`)

// oldDates passes one four-letter word on, and the answer back with the date of the build as
// releases before 3.7 wrote it: the only form the reader of `srvr` knows.
func oldDates(address string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		defer listener.Close()
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.DialTimeout("tcp", address, limit)
		if err != nil {
			return
		}
		defer server.Close()
		word := make([]byte, 4)
		if _, err := io.ReadFull(client, word); err != nil {
			return
		}
		server.Write(word)
		answer, _ := io.ReadAll(server)
		client.Write(buildDate.ReplaceAll(answer, []byte("built on $2/$3/$1")))
	}()
	return listener.Addr().String(), nil
}

// pinged tells whether the last thing a session did was a ping, which comes when it wants.
func pinged(cons *zk.ServerClients) bool {
	for _, client := range cons.Clients {
		if client.LastOperation == "PING" {
			return true
		}
	}
	return false
}

func words(c, other *zk.Conn, address string, isOwnPort bool) {
	servers := []string{address}
	show("ruok", zk.FLWRuok(servers, limit))
	stats, ok := zk.FLWSrvr(servers, limit)
	show("srvr", ok, stats[0].Error)
	old, err := oldDates(address)
	if err != nil {
		show("listen", err)
		return
	}
	stats, ok = zk.FLWSrvr([]string{old}, limit)
	for deadline := time.Now().Add(limit); ok && stats[0].Connections != 3 && time.Now().Before(deadline); {
		// The session that was closed before goes from the list a moment after its answer.
		if old, err = oldDates(address); err == nil {
			stats, ok = zk.FLWSrvr([]string{old}, limit)
		}
	}
	s := stats[0]
	show("srvr with the date of old", ok, s.Error, s.Mode.String(), s.NodeCount, s.Connections, s.Outstanding, s.Epoch, s.Counter > 0,
		s.Received > 0, s.Sent > 0, s.MaxLatency >= s.MinLatency, s.BuildTime.Year() > 2020, s.Version != "")
	if !isOwnPort {
		// The reference tells of clients of the port that was asked.
		return
	}
	cons, ok := zk.FLWCons(servers, limit)
	for deadline := time.Now().Add(limit); pinged(cons[0]) && time.Now().Before(deadline); {
		c.Exists("/")
		other.Exists("/")
		cons, ok = zk.FLWCons(servers, limit)
	}
	var rows []string
	for _, client := range cons[0].Clients {
		rows = append(rows, fmt.Sprint(client.LastOperation, " timeout=", client.Timeout, " session=",
			client.SessionID != 0, " answered=", client.Lzxid != 0, " recent=",
			time.Since(client.Established) < time.Hour, " error=", client.Error))
	}
	sort.Strings(rows)
	show("cons", ok, cons[0].Error, fmt.Sprint(rows))
}

func main() {
	address := os.Args[1]
	plain := address
	if len(os.Args) > 4 {
		dial, plain = secure(os.Args[4], os.Args[5], os.Args[6]), os.Args[7]
	}
	if os.Args[2] == "probe" {
		probe(address)
		return
	}
	own, others := 8*time.Second, 10*time.Second
	if plain != address {
		// A server of Java that speaks TLS takes its time after a start.
		own, others = 3*own, 3*others
	}
	c := connect(address, own)
	other := connect(address, others)
	path, err := c.Create("/go", nil, 0, zk.WorldACL(zk.PermAll))
	show("create", path, err)
	nodes(c)
	multi(c)
	access(c, address)
	lock := zk.NewLock(c, "/go/lock", zk.WorldACL(zk.PermAll))
	show("lock", lock.Lock())
	show("unlock", lock.Unlock())
	kept := watches(c, other)
	words(c, other, plain, plain == address)

	session := c.SessionID()
	os.WriteFile(os.Args[2], nil, 0o644)
	restarted := func() bool { _, err := os.Stat(os.Args[3]); return err == nil }
	for deadline := time.Now().Add(restart); !restarted(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "the server was not restarted")
			os.Exit(1)
		}
	}
	answers(c)
	answers(other)
	show("the same session", session == c.SessionID())
	other.Set("/go/n0-", []byte("after"), -1)
	other.Create("/go/later", nil, 0, zk.WorldACL(zk.PermAll))
	other.Create("/go/new/child", nil, 0, zk.WorldACL(zk.PermAll))
	event("kept data watch", kept[0])
	event("kept exists watch", kept[1])
	event("kept child watch", kept[2])
	_, stat, err := c.Get("/go/n1-")
	show("the ephemeral is still ours", stat, err)
	c.Close()
	found, _, err := other.Exists("/go/n1-")
	show("and goes with its session", found, err)
	other.Close()
}
