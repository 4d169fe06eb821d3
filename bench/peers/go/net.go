// SPDX-License-Identifier: MIT
//
// net.go - sleep (P14), and the servers of P19 to P21, P50 and P51 on net and net/http.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"
)

func sleeps() {
	for _, row := range []struct {
		span  string
		ns    time.Duration
		count int
	}{{"100 us", 100 * time.Microsecond, 2000}, {"1 ms", time.Millisecond, 1000}, {"10 ms", 10 * time.Millisecond, 200}} {
		median, p99 := row.span+", overshoot, median", row.span+", overshoot, p99"
		if !wanted(median) && !wanted(p99) {
			continue
		}
		if *quick {
			row.count /= 4
		}
		us := make([]float64, row.count)
		for i := range us {
			start := time.Now()
			time.Sleep(row.ns)
			us[i] = float64((time.Since(start) - row.ns).Nanoseconds()) / 1e3
		}
		sort.Float64s(us)
		report("P14", median, "us", []float64{us[len(us)/2]})
		report("P14", p99, "us", []float64{us[len(us)*99/100]})
	}
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// lazy is echo with nothing but a byte while it waits: the buffer comes from a pool when there is something to read.
var buffers = sync.Pool{New: func() any { return make([]byte, 4096) }}

func lazy(c net.Conn) {
	defer c.Close()
	var first [1]byte
	for {
		if _, err := c.Read(first[:]); err != nil {
			return
		}
		buf := buffers.Get().([]byte)
		buf[0] = first[0]
		c.SetReadDeadline(time.Now().Add(time.Millisecond)) // one that has passed would read nothing
		n, _ := c.Read(buf[1:])
		c.SetReadDeadline(time.Time{})
		_, err := c.Write(buf[:1+n])
		buffers.Put(buf)
		if err != nil {
			return
		}
	}
}

// sinkServer reads to the end and says how much there was.
func sinkServer(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 65536)
	all := uint64(0)
	for {
		n, err := c.Read(buf)
		all += uint64(n)
		if err == io.EOF {
			binary.LittleEndian.PutUint64(buf, all)
			c.Write(buf[:8])
			return
		}
		if err != nil {
			return
		}
	}
}

// sourceServer writes until the connection breaks.
func sourceServer(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 65536)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	for {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "Hello, World!\n")
}

// serve prints "port N VERSION" and serves until killed.
func serve(mode string, port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	fmt.Println("port", l.Addr().(*net.TCPAddr).Port, runtime.Version())
	if mode == "http" {
		return http.Serve(l, http.HandlerFunc(hello))
	}
	handler := map[string]func(net.Conn){"echo": echo, "lazy": lazy, "sink": sinkServer, "source": sourceServer}[mode]
	if handler == nil && mode != "accept" {
		fmt.Fprintln(os.Stderr, "peers-go: -mode is echo, lazy, http, accept, sink or source")
		os.Exit(2)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if mode == "accept" {
			c.Close()
		} else {
			go handler(c)
		}
	}
}
