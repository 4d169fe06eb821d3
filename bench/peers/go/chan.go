// SPDX-License-Identifier: MIT
//
// chan.go - goroutines that talk: channels, select, mutex, ring, stages, timers.
package main

import (
	"math/rand"
	"runtime"
	"sync"
	"time"
)

func rendezvous() {
	measure("P6", "round trip", func(n int) time.Duration {
		there, back := make(chan int64), make(chan int64)
		go func() {
			for v := range there {
				back <- v
			}
			close(back)
		}()
		start := time.Now()
		for i := 0; i < n; i++ {
			there <- int64(i)
			<-back
		}
		took := time.Since(start)
		close(there)
		<-back
		return took
	})
}

// manyToMany passes n messages from so many senders to so many receivers through one channel of 128.
func manyToMany(senders, receivers int) func(int) time.Duration {
	return func(n int) time.Duration {
		var sent, received sync.WaitGroup
		c := make(chan int64, 128)
		each := n/senders + 1
		sent.Add(senders)
		received.Add(receivers)
		start := time.Now()
		for i := 0; i < receivers; i++ {
			go func() {
				for range c {
				}
				received.Done()
			}()
		}
		for i := 0; i < senders; i++ {
			go func() {
				for k := 0; k < each; k++ {
					c <- int64(k)
				}
				sent.Done()
			}()
		}
		sent.Wait()
		close(c)
		received.Wait()
		return time.Since(start) * time.Duration(n) / time.Duration(each*senders)
	}
}

func buffered()    { measure("P7", "capacity 128, 1x1", manyToMany(1, 1)) }
func buffered100() { measure("P8", "capacity 128, 100x100", manyToMany(100, 100)) }

func selects() {
	measure("P9", "2 ready", func(n int) time.Duration {
		a, b := make(chan int64, 1), make(chan int64, 1)
		a <- 1
		b <- 1
		start := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-a:
				a <- 1
			case <-b:
				b <- 1
			}
		}
		return time.Since(start)
	})
	measure("P9", "8 ready", func(n int) time.Duration {
		var c [8]chan int64
		for i := range c {
			c[i] = make(chan int64, 1)
			c[i] <- 1
		}
		start := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-c[0]:
				c[0] <- 1
			case <-c[1]:
				c[1] <- 1
			case <-c[2]:
				c[2] <- 1
			case <-c[3]:
				c[3] <- 1
			case <-c[4]:
				c[4] <- 1
			case <-c[5]:
				c[5] <- 1
			case <-c[6]:
				c[6] <- 1
			case <-c[7]:
				c[7] <- 1
			}
		}
		return time.Since(start)
	})
	measure("P9", "8 none ready, default", func(n int) time.Duration {
		var c [8]chan int64
		for i := range c {
			c[i] = make(chan int64, 1)
		}
		start := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-c[0]:
			case <-c[1]:
			case <-c[2]:
			case <-c[3]:
			case <-c[4]:
			case <-c[5]:
			case <-c[6]:
			case <-c[7]:
			default:
			}
		}
		return time.Since(start)
	})
	measure("P9", "8 blocking", func(n int) time.Duration {
		var c [8]chan int64
		for i := range c {
			c[i] = make(chan int64)
		}
		go func() {
			for i := 0; i < n; i++ {
				c[i%8] <- 1
			}
		}()
		start := time.Now()
		for i := 0; i < n; i++ {
			select {
			case <-c[0]:
			case <-c[1]:
			case <-c[2]:
			case <-c[3]:
			case <-c[4]:
			case <-c[5]:
			case <-c[6]:
			case <-c[7]:
			}
		}
		return time.Since(start)
	})
}

func mutexes() {
	measure("P10", "lock and unlock, alone", func(n int) time.Duration {
		var m sync.Mutex
		start := time.Now()
		for i := 0; i < n; i++ {
			m.Lock()
			m.Unlock()
		}
		return time.Since(start)
	})
	measure("P10", "200 tasks contending", func(n int) time.Duration {
		var m sync.Mutex
		var wg sync.WaitGroup
		counter := 0
		each := n/200 + 1
		wg.Add(200)
		start := time.Now()
		for i := 0; i < 200; i++ {
			go func() {
				for k := 0; k < each; k++ {
					m.Lock()
					counter++
					m.Unlock()
				}
				wg.Done()
			}()
		}
		wg.Wait()
		if counter != each*200 {
			panic(counter)
		}
		return time.Since(start) * time.Duration(n) / time.Duration(each*200)
	})
}

func ring() {
	const tasks = 1000
	measure("P11", "hop, 1000 tasks", func(n int) time.Duration {
		first := make(chan int64)
		var wg sync.WaitGroup
		wg.Add(tasks - 1)
		in := first
		for i := 1; i < tasks; i++ {
			out := make(chan int64)
			go func(in, out chan int64) {
				for v := range in {
					out <- v + 1
				}
				close(out)
				wg.Done()
			}(in, out)
			in = out
		}
		rounds := n/tasks + 1
		start := time.Now()
		v := int64(0)
		for i := 0; i < rounds; i++ {
			first <- v + 1
			v = <-in
		}
		took := time.Since(start)
		if v != int64(rounds)*tasks {
			panic(v)
		}
		close(first)
		wg.Wait()
		return took * time.Duration(n) / time.Duration(rounds*tasks)
	})
}

// stepsPerMicrosecond calibrates compute.
func stepsPerMicrosecond() int {
	best := time.Duration(1 << 62)
	for i := 0; i < 50; i++ {
		start := time.Now()
		compute(100000)
		if took := time.Since(start); took < best {
			best = took
		}
	}
	return int(100000 * 1000 / best.Nanoseconds())
}

func stages() {
	const stages = 4
	steps := stepsPerMicrosecond()
	pipe := func(capacity int) func(int) time.Duration {
		return func(n int) time.Duration {
			first := make(chan int64, capacity)
			in := first
			for i := 0; i < stages; i++ {
				out := make(chan int64, capacity)
				go func(in, out chan int64) {
					for v := range in {
						x := uint64(v)
						for i := 0; i < steps; i++ {
							x = x*6364136223846793005 + 1442695040888963407
						}
						out <- int64(x)
					}
					close(out)
				}(in, out)
				in = out
			}
			start := time.Now()
			go func() {
				for i := 0; i < n; i++ {
					first <- int64(i)
				}
				close(first)
			}()
			for range in {
			}
			return time.Since(start)
		}
	}
	n := 50000
	if *quick {
		n = 10000
	}
	for _, row := range []struct {
		variant  string
		capacity int
	}{{"4 stages of 1 us, unbuffered", 0}, {"4 stages of 1 us, capacity 16", 16}} {
		var one, two, ratio []float64
		work := pipe(row.capacity)
		work(n / 10)
		for i := 0; i < *runs; i++ {
			runtime.GOMAXPROCS(1)
			t1 := work(n)
			runtime.GOMAXPROCS(2)
			t2 := work(n)
			one = append(one, float64(t1.Nanoseconds())/float64(n))
			two = append(two, float64(t2.Nanoseconds())/float64(n))
			ratio = append(ratio, float64(t1)/float64(t2))
		}
		report("P25", row.variant+", an item, 1 worker", "ns", one)
		report("P25", row.variant+", an item, 2 workers", "ns", two)
		report("P25", row.variant+", speed-up", "x", ratio)
	}
}

func nothing() {}

func timers() {
	const million = 1000000
	live := make([]*time.Timer, million)
	later := make([]time.Duration, million)
	for i := range later {
		later[i] = time.Hour + time.Duration(rand.Int63n(int64(time.Hour)))
	}
	var create, stop, both []float64
	for i := 0; i <= *runs; i++ {
		start := time.Now()
		for k := range live {
			live[k] = time.AfterFunc(later[k], nothing)
		}
		created := time.Since(start)
		const pairs = 1000000
		start = time.Now()
		for k := 0; k < pairs; k++ {
			t := time.AfterFunc(later[k], nothing)
			t.Stop()
		}
		paired := time.Since(start)
		start = time.Now()
		for k := range live {
			live[k].Stop()
		}
		stopped := time.Since(start)
		if i > 0 { // the first round warms up
			create = append(create, float64(created.Nanoseconds())/million)
			stop = append(stop, float64(stopped.Nanoseconds())/million)
			both = append(both, float64(paired.Nanoseconds())/pairs)
		}
	}
	report("P13", "create, up to 1000000 live", "ns", create)
	report("P13", "stop, 1000000 live", "ns", stop)
	report("P13", "create and stop, 1000000 live", "ns", both)
}
