// SPDX-License-Identifier: MIT
//
// tls.go - P60: what a TLS connection costs, full and resumed, and 64 KiB through one.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"time"
)

const tlsBlock = 65536

func tlsAnswer(c net.Conn) {
	defer c.Close()
	buf := make([]byte, tlsBlock)
	head := make([]byte, 8)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		for n := binary.LittleEndian.Uint64(head); n > 0; n-- {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
		}
		if _, err := c.Write([]byte{'x'}); err != nil {
			return
		}
	}
}

func tlsAsk(c net.Conn, blocks int, block []byte) {
	head := make([]byte, 8)
	binary.LittleEndian.PutUint64(head, uint64(blocks))
	_, err := c.Write(head)
	must(err)
	for i := 0; i < blocks; i++ {
		_, err = c.Write(block)
		must(err)
	}
	_, err = io.ReadFull(c, head[:1])
	must(err)
}

// tlsCertificate is for localhost, and signs itself.
func tlsCertificate() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func tlsRow() {
	cert, pool := tlsCertificate()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	must(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go tlsAnswer(c)
		}
	}()
	where := l.Addr().String()
	dial := func(cfg *tls.Config) net.Conn {
		c, err := tls.Dial("tcp", where, cfg)
		must(err)
		return c
	}
	handshakes := func(cfg *tls.Config) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for i := 0; i < n; i++ {
				c := dial(cfg)
				tlsAsk(c, 0, nil)
				c.Close()
			}
			return time.Since(start)
		}
	}
	fresh := &tls.Config{RootCAs: pool}
	again := &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	measure("P60", "dial and full handshake", handshakes(fresh))
	measure("P60", "dial and resumed handshake", handshakes(again))
	measure("P60", "64 KiB through one stream", func(n int) time.Duration {
		block := make([]byte, tlsBlock)
		c := dial(again)
		defer c.Close()
		start := time.Now()
		tlsAsk(c, n, block)
		return time.Since(start)
	})
}
