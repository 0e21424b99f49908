package objects

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"github.com/varve-lake/varve/internal/patience"
)

// hdfsTries is how often a request is sent. Each may be sent again: what is made has a name of its own, and what is removed
// or renamed shows it.
const hdfsTries = 5

func (c HDFS) bucket(authority string, silence time.Duration) (*hdfsBucket, error) {
	address := authority
	if address == "" {
		address = c.NameNode
	}
	if address == "" {
		return nil, errors.New("no name node is configured, and the URI names none")
	}
	name := c.User
	if name == "" {
		name = os.Getenv("HADOOP_USER_NAME")
	}
	if name == "" {
		name = os.Getenv("USER")
	}
	if name == "" {
		name = "varve"
	}
	b := &hdfsBucket{address: address, user: name, dial: patience.Dial(c.Dial, patience.Or(silence))}
	return b, b.do(context.Background(), func(*hdfs.Client) error { return nil })
}

// hdfsBucket is one file system. A file is written under a temporary name beside its own and renamed, so that it appears
// whole, as an object does.
//
// The library's client does not notice that its connection to the name node is out of step, and for some seconds after a
// fault knows of no name node at all. So a client whose connection has failed is replaced by another.
type hdfsBucket struct {
	address, user string
	dial          patience.DialFunc

	mu     sync.Mutex
	client *hdfsClient
}

type hdfsClient struct {
	*hdfs.Client
	broken atomic.Bool
}

// close waits for requests under way, which may be long.
func (c *hdfsClient) close() { go func() { _ = c.Client.Close() }() }

func (b *hdfsBucket) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client == nil {
		return nil
	}
	err := b.client.Client.Close()
	b.client = nil
	return err
}

func (b *hdfsBucket) connected() (*hdfsClient, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil && !b.client.broken.Load() {
		return b.client, nil
	}
	if b.client != nil {
		b.client.close()
		b.client = nil
	}
	c := &hdfsClient{}
	var err error
	c.Client, err = hdfs.NewClient(hdfs.ClientOptions{
		Addresses: []string{b.address}, User: b.user, DatanodeDialFunc: b.dial,
		NamenodeDialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := b.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &nameNodeConn{conn, c}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	b.client = c
	return c, nil
}

// nameNodeConn tells when a connection has failed.
type nameNodeConn struct {
	net.Conn
	client *hdfsClient
}

func (c *nameNodeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.client.broken.Store(true)
	}
	return n, err
}

func (c *nameNodeConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.client.broken.Store(true)
	}
	return n, err
}

// do sends requests, and again, with another client where the first one's connection has failed, after a passing fault.
func (b *hdfsBucket) do(ctx context.Context, request func(*hdfs.Client) error) error {
	for failed := 1; ; failed++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		client, err := b.connected()
		if err == nil {
			err = request(client.Client)
		}
		if err = hdfsError(err); !errors.Is(err, ErrPassing) || failed == hdfsTries {
			return err
		}
		if err := pauseAfter(ctx, failed); err != nil {
			return err
		}
	}
}

// strayed tells the library's errors without a type: of a name node that it will not ask for some seconds, and of answers
// to other questions.
func strayed(err error) bool {
	return strings.Contains(err.Error(), "no available namenodes") || strings.Contains(err.Error(), "unexpected sequence number")
}
