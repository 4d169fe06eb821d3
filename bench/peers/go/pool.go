// SPDX-License-Identifier: MIT
//
// pool.go - a pool of goroutines that take jobs from a channel, and of such that are bound to threads.
package main

import (
	"runtime"
	"time"
)

type poolJob struct {
	fn   func()
	done chan<- struct{}
}

// newPool has so many goroutines do what comes through the channel it returns.
func newPool(workers int, bound bool) chan<- poolJob {
	jobs := make(chan poolJob, 100)
	for i := 0; i < workers; i++ {
		go func() {
			if bound {
				runtime.LockOSThread()
			}
			for j := range jobs {
				j.fn()
				j.done <- struct{}{}
			}
		}()
	}
	return jobs
}

func pools() {
	one := func(workers int, bound bool) func(n int) time.Duration {
		return func(n int) time.Duration {
			jobs, done, sum := newPool(workers, bound), make(chan struct{}, 1), int64(0)
			start := time.Now()
			for i := 0; i < n; i++ {
				jobs <- poolJob{func() { sum++ }, done}
				<-done
			}
			took := time.Since(start)
			close(jobs)
			return took
		}
	}
	batches := func(bound bool) func(n int) time.Duration {
		return func(n int) time.Duration {
			jobs, sum := newPool(1, bound), int64(0)
			start := time.Now()
			for i := 0; i < n; i += 100 {
				done := make(chan struct{}, 100)
				for k := 0; k < 100; k++ {
					jobs <- poolJob{func() { sum++ }, done}
				}
				for k := 0; k < 100; k++ {
					<-done
				}
			}
			took := time.Since(start)
			close(jobs)
			return took
		}
	}
	measure("P38", "call, goroutines", one(4, false))
	measure("P38", "call, 4 threads", one(4, true))
	measure("P38", "submit 100 and await all, a goroutine", batches(false))
	measure("P38", "submit 100 and await all, 1 thread", batches(true))
}
