// SPDX-License-Identifier: MIT
//
// copies.go - lines, and bytes passed on from a file and from a connection to a connection (P57).
package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const line = "a line of sixty bytes, as a log or a protocol of text has them\n"

func lines(n int) float64 {
	text := []byte(strings.Repeat(line, 1000))
	r := bufio.NewReaderSize(nil, 4096)
	seen := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		r.Reset(bytes.NewReader(text))
		for {
			_, err := r.ReadSlice('\n')
			if err != nil {
				break
			}
			seen++
		}
	}
	if seen != n*1000 {
		panic("lines are missing")
	}
	return float64(n*len(text)) / float64(time.Since(start).Nanoseconds())
}

// connection returns the two ends of a connection.
func connection() (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	must(err)
	b, err = l.Accept()
	must(err)
	return a, b
}

// passOn returns GB/s of so many blocks of src to a connection.
func passOn(src io.Reader, writer net.Conn, blocks int) float64 {
	const size = 65536
	to, end := connection()
	defer to.Close()
	defer end.Close()
	read := make(chan bool)
	start := time.Now()
	go func() {
		buf := make([]byte, size)
		for {
			if _, err := end.Read(buf); err != nil {
				break
			}
		}
		close(read)
	}()
	if writer != nil {
		go func() {
			block := make([]byte, size)
			for i := 0; i < blocks; i++ {
				_, err := writer.Write(block)
				must(err)
			}
			must(writer.(*net.TCPConn).CloseWrite())
		}()
	}
	n, err := io.Copy(to, src)
	must(err)
	if n != int64(blocks*size) {
		panic("bytes are missing")
	}
	must(to.(*net.TCPConn).CloseWrite())
	<-read
	return float64(n) / float64(time.Since(start).Nanoseconds())
}

func fromFile(blocks int) float64 {
	f, err := os.CreateTemp("", "copies")
	must(err)
	defer f.Close()
	must(os.Remove(f.Name()))
	block := make([]byte, 65536)
	for i := 0; i < blocks; i++ {
		_, err := f.Write(block)
		must(err)
	}
	_, err = f.Seek(0, io.SeekStart)
	must(err)
	return passOn(f, nil, blocks)
}

func fromConnection(blocks int) float64 {
	w, src := connection()
	defer w.Close()
	defer src.Close()
	return passOn(src, w, blocks)
}

func copies() {
	n := 8000
	if *quick {
		n /= 8
	}
	run := func(variant string, fn func(n int) float64) {
		if !wanted(variant) {
			return
		}
		fn(n / 8)
		samples := make([]float64, *runs)
		for i := range samples {
			samples[i] = fn(n)
		}
		report("P57", variant, "GB/s", samples)
	}
	run("lines from memory", lines)
	run("a file to a connection", fromFile)
	run("a connection to a connection", fromConnection)
}
