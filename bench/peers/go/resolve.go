// SPDX-License-Identifier: MIT
//
// resolve.go - what a name costs (P54): net's own resolver, which reads /etc/hosts itself and keeps it for five seconds.
package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// The first name of /etc/hosts but localhost.
func ownName() string {
	f, err := os.Open("/etc/hosts")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && strings.Contains(words[0], ".") && words[1] != "localhost" {
			return words[1]
		}
	}
	return ""
}

func ask(host string, n int) {
	for i := 0; i < n; i++ {
		if _, err := net.DefaultResolver.LookupHost(context.Background(), host); err != nil {
			panic(err)
		}
	}
}

func names() {
	measure("P54", "an address", func(n int) time.Duration {
		start := time.Now()
		ask("192.0.2.1", n)
		return time.Since(start)
	})
	host := ownName()
	if host == "" {
		return
	}
	measure("P54", "a name of /etc/hosts", func(n int) time.Duration {
		start := time.Now()
		ask(host, n)
		return time.Since(start)
	})
	measure("P54", "a name of /etc/hosts, 100 tasks", func(n int) time.Duration {
		each := (n + 99) / 100
		var wg sync.WaitGroup
		start := time.Now()
		wg.Add(100)
		for i := 0; i < 100; i++ {
			go func() {
				ask(host, each)
				wg.Done()
			}()
		}
		wg.Wait()
		return time.Since(start) * time.Duration(n) / time.Duration(each*100)
	})
}
