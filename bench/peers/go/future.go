// SPDX-License-Identifier: MIT
//
// future.go - what Go has for a future: a channel with room for one.
package main

import "time"

const links = 100

func futures() {
	measure("P36", "a task gives it", func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			f := make(chan int64, 1)
			go func(v int64) { f <- v }(int64(i))
			if <-f != int64(i) {
				panic("another's")
			}
		}
		return time.Since(start)
	})
	measure("P36", "answer to a request", func(n int) time.Duration {
		type request struct {
			answer chan<- int64
			n      int64
		}
		requests := make(chan request)
		go func() {
			for r := range requests {
				r.answer <- r.n + 1
			}
		}()
		v := int64(0)
		start := time.Now()
		for i := 0; i < n; i++ {
			f := make(chan int64, 1)
			requests <- request{f, v}
			v = <-f
		}
		took := time.Since(start)
		close(requests)
		if v != int64(n) {
			panic("another's")
		}
		return took
	})
	measure("P36", "chain of 100, a link", func(n int) time.Duration {
		chains := n/links + 1
		start := time.Now()
		for i := 0; i < chains; i++ {
			first := make(chan int64, 1)
			f := first
			for k := 0; k < links; k++ {
				before, next := f, make(chan int64, 1)
				go func() { next <- <-before + 1 }()
				f = next
			}
			first <- int64(i)
			if <-f != int64(i)+links {
				panic("another's")
			}
		}
		return time.Since(start) * time.Duration(n) / time.Duration(chains*links)
	})
}
