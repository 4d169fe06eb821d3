// SPDX-License-Identifier: MIT
//
// sync.go - P30: sync.RWMutex, a semaphore as Go has it (a buffered channel), sync.WaitGroup, sync.Cond, sync.Once.
package main

import (
	"runtime"
	"sync"
	"time"
)

const crew = 200

// all has a crew do the work between them: each its share of n.
func all(n int, work func(salt, each int)) time.Duration {
	var wg sync.WaitGroup
	each := n/crew + 1
	wg.Add(crew)
	start := time.Now()
	for i := 0; i < crew; i++ {
		go func(salt int) {
			work(salt, each)
			wg.Done()
		}(i)
	}
	wg.Wait()
	return time.Since(start) * time.Duration(n) / time.Duration(each*crew)
}

func readsAndWrites(writers int) func(n int) time.Duration {
	return func(n int) time.Duration {
		var l sync.RWMutex
		var counter uint64
		return all(n, func(salt, each int) {
			var seen uint64
			for i := salt; i < each+salt; i++ {
				if writers > 0 && i%writers == 0 {
					l.Lock()
					counter++
					l.Unlock()
				} else {
					l.RLock()
					seen += counter
					l.RUnlock()
				}
			}
			runtime.KeepAlive(seen)
		})
	}
}

func locks() {
	measure("P30", "read lock and unlock, alone", func(n int) time.Duration {
		var l sync.RWMutex
		start := time.Now()
		for i := 0; i < n; i++ {
			l.RLock()
			l.RUnlock()
		}
		return time.Since(start)
	})
	measure("P30", "write lock and unlock, alone", func(n int) time.Duration {
		var l sync.RWMutex
		start := time.Now()
		for i := 0; i < n; i++ {
			l.Lock()
			l.Unlock()
		}
		return time.Since(start)
	})
	measure("P30", "200 tasks read", readsAndWrites(0))
	measure("P30", "200 tasks, 1 in 10 writes", readsAndWrites(10))
	measure("P30", "semaphore, alone", func(n int) time.Duration {
		s := make(chan struct{}, 10)
		start := time.Now()
		for i := 0; i < n; i++ {
			s <- struct{}{}
			<-s
		}
		return time.Since(start)
	})
	measure("P30", "semaphore of 10, 200 tasks", func(n int) time.Duration {
		s := make(chan struct{}, 10)
		return all(n, func(_, each int) {
			for i := 0; i < each; i++ {
				s <- struct{}{}
				runtime.Gosched()
				<-s
			}
		})
	})
	measure("P30", "wait group: add, done, wait", func(n int) time.Duration {
		var wg sync.WaitGroup
		start := time.Now()
		for i := 0; i < n; i++ {
			wg.Add(1)
			wg.Done()
			wg.Wait()
		}
		return time.Since(start)
	})
	measure("P30", "condition, round trip", func(n int) time.Duration {
		var m sync.Mutex
		var wg sync.WaitGroup
		ball := [2]*sync.Cond{sync.NewCond(&m), sync.NewCond(&m)}
		at := 0
		plays := func(side int) {
			m.Lock()
			for i := 0; i < n; i++ {
				for at != side {
					ball[side].Wait()
				}
				at = 1 - side
				ball[1-side].Signal()
			}
			m.Unlock()
			wg.Done()
		}
		wg.Add(2)
		start := time.Now()
		go plays(0)
		go plays(1)
		wg.Wait()
		return time.Since(start)
	})
	measure("P30", "once, done before", func(n int) time.Duration {
		var o sync.Once
		start := time.Now()
		for i := 0; i < n; i++ {
			o.Do(func() {})
		}
		return time.Since(start)
	})
}
