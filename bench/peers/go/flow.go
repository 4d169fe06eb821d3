// SPDX-License-Identifier: MIT
//
// flow.go - a byte there and back over a socket (P52), and how much goes through a pipe and Unix domain sockets (P53).
package main

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// pair returns the two ends of a pair of sockets.
func pair() (a, b net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	must(err)
	ends := [2]net.Conn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		must(err)
		f.Close()
	}
	return ends[0], ends[1]
}

func roundTrips() {
	measure("P52", "an own socket, round trip", func(n int) time.Duration {
		a, b := pair()
		defer a.Close()
		start := time.Now()
		go func() {
			defer b.Close()
			x := make([]byte, 1)
			for i := 0; i < n; i++ {
				_, err := b.Read(x)
				must(err)
				_, err = b.Write(x)
				must(err)
			}
		}()
		x := make([]byte, 1)
		for i := 0; i < n; i++ {
			_, err := a.Write(x)
			must(err)
			_, err = a.Read(x)
			must(err)
		}
		return time.Since(start)
	})
}

// flow returns GB/s of so many blocks.
func flow(from io.Writer, to io.Reader, blocks int) float64 {
	const size = 65536
	start := time.Now()
	go func() {
		block := make([]byte, size)
		for i := 0; i < blocks; i++ {
			_, err := from.Write(block)
			must(err)
		}
	}()
	buf := make([]byte, size)
	for left := blocks * size; left > 0; {
		n, err := to.Read(buf)
		must(err)
		left -= n
	}
	return float64(blocks) * size / float64(time.Since(start).Nanoseconds())
}

func flows() {
	blocks := 16000
	if *quick {
		blocks = 2000
	}
	run := func(variant string, from io.Writer, to io.Reader) {
		if !wanted(variant) {
			return
		}
		flow(from, to, blocks/8)
		samples := make([]float64, *runs)
		for i := range samples {
			samples[i] = flow(from, to, blocks)
		}
		report("P53", variant, "GB/s", samples)
	}
	r, w, err := os.Pipe()
	must(err)
	run("a pipe", w, r)
	a, b := pair()
	run("Unix domain sockets", a, b)
}
