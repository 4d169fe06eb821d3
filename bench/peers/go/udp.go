// SPDX-License-Identifier: MIT
//
// udp.go - P56: datagrams, one way and there and back, one a call: net has no batches.
package main

import (
	"net"
	"time"
)

const (
	datagram = 64
	window   = 64
)

func udpEnds() (here, there *net.UDPConn) {
	there, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	here, err = net.DialUDP("udp4", nil, there.LocalAddr().(*net.UDPAddr))
	if err != nil {
		panic(err)
	}
	return here, there
}

func udpMust(n int, err error) {
	if err != nil {
		panic(err)
	}
}

func datagrams() {
	here, there := udpEnds()
	defer here.Close()
	defer there.Close()
	measure("P56", "echo", func(n int) time.Duration {
		done := make(chan bool)
		go func() {
			buf := make([]byte, datagram)
			for i := 0; i < n; i++ {
				k, from, err := there.ReadFromUDPAddrPort(buf)
				udpMust(k, err)
				udpMust(there.WriteToUDPAddrPort(buf, from))
			}
			done <- true
		}()
		buf := make([]byte, datagram)
		start := time.Now()
		for i := 0; i < n; i++ {
			udpMust(here.Write(buf))
			udpMust(here.Read(buf))
		}
		took := time.Since(start)
		<-done
		return took
	})
	measure("P56", "one way", func(n int) time.Duration {
		all := (n + window - 1) / window * window
		done := make(chan bool)
		go func() {
			buf := make([]byte, datagram)
			for i := 1; i <= all; i++ {
				k, from, err := there.ReadFromUDPAddrPort(buf)
				udpMust(k, err)
				if i%window == 0 {
					udpMust(there.WriteToUDPAddrPort(buf[:1], from))
				}
			}
			done <- true
		}()
		buf := make([]byte, datagram)
		told := make([]byte, 1)
		start := time.Now()
		for i := 0; i < all; i += window {
			if i >= 2*window {
				udpMust(here.Read(told))
			}
			for k := 0; k < window; k++ {
				udpMust(here.Write(buf))
			}
		}
		left := 2
		if all <= window {
			left = 1
		}
		for ; left > 0; left-- {
			udpMust(here.Read(told))
		}
		took := time.Since(start)
		<-done
		return took * time.Duration(n) / time.Duration(all)
	})
}
