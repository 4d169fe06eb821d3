// SPDX-License-Identifier: MIT
//
// sched.go - goroutines alone: yield, spawn, join, skynet, a million parked, time to start elsewhere, idleness.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func yieldAmong(tasks int) func(int) time.Duration {
	return func(n int) time.Duration {
		var wg sync.WaitGroup
		each := n/tasks + 1
		wg.Add(tasks)
		start := time.Now()
		for i := 0; i < tasks; i++ {
			go func() {
				for k := 0; k < each; k++ {
					runtime.Gosched()
				}
				wg.Done()
			}()
		}
		wg.Wait()
		return time.Since(start) * time.Duration(n) / time.Duration(each*tasks)
	}
}

func yield() {
	if *workers == 1 {
		measure("P2", "yield, 2 tasks", yieldAmong(2))
		measure("P2", "yield, 1000 tasks", yieldAmong(1000))
		return
	}
	measure("P3", "yield, 1000 tasks", yieldAmong(1000))
}

func spawn() {
	measure("P4", "windows of 100, queued", func(n int) time.Duration {
		var wg sync.WaitGroup
		start := time.Now()
		for done := 0; done < n; done += 100 {
			wg.Add(100)
			for i := 0; i < 100; i++ {
				go wg.Done()
			}
			wg.Wait()
		}
		return time.Since(start) * time.Duration(n) / time.Duration((n+99)/100*100)
	})
	const million = 1000000
	const variant = "1000000 at once, queued"
	if !wanted(variant) {
		return
	}
	var samples []float64
	for i := 0; i <= *runs; i++ {
		var wg sync.WaitGroup
		wg.Add(million)
		start := time.Now()
		for k := 0; k < million; k++ {
			go wg.Done()
		}
		wg.Wait()
		if i > 0 { // the first one warms up
			samples = append(samples, float64(time.Since(start).Nanoseconds())/million)
		}
	}
	report("P4", variant, "ns", samples)
}

func join() {
	measure("P5", "spawn and join", func(n int) time.Duration {
		var wg sync.WaitGroup
		start := time.Now()
		for i := 0; i < n; i++ {
			wg.Add(1)
			go wg.Done()
			wg.Wait()
		}
		return time.Since(start)
	})
}

func skynet(c chan int64, num, size int64) {
	if size == 1 {
		c <- num
		return
	}
	rc := make(chan int64)
	size /= 10
	for i := int64(0); i < 10; i++ {
		go skynet(rc, num+i*size, size)
	}
	var sum int64
	for i := 0; i < 10; i++ {
		sum += <-rc
	}
	c <- sum
}

func skynets() {
	var samples []float64
	for i := 0; i <= *runs; i++ {
		c := make(chan int64)
		start := time.Now()
		go skynet(c, 0, 1000000)
		sum := <-c
		if i > 0 {
			samples = append(samples, float64(time.Since(start).Nanoseconds())/1e6)
		}
		if sum != 499999500000 {
			panic(sum)
		}
	}
	report("P12", "skynet, 1000000 leaves", "ms", samples)
}

// status reads a figure of /proc/self/status, in kB.
func status(key string) float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	var v float64
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), key+":") {
			fmt.Sscan(strings.TrimPrefix(s.Text(), key+":"), &v)
		}
	}
	return v
}

func parked() {
	const million = 1000000
	var create, warm, finish, rss, tables []float64
	for i := 0; i <= *runs; i++ {
		var wg sync.WaitGroup
		var in int64
		gate := make(chan struct{})
		rss0, tables0 := status("VmRSS"), status("VmPTE")
		wg.Add(million)
		start := time.Now()
		for k := 0; k < million; k++ {
			go func() {
				atomic.AddInt64(&in, 1)
				<-gate
				wg.Done()
			}()
		}
		for atomic.LoadInt64(&in) < million {
			runtime.Gosched()
		}
		took := float64(time.Since(start).Nanoseconds()) / million
		if i == 0 {
			create = append(create, took)
			rss = append(rss, (status("VmRSS")-rss0)*1024/million)
			tables = append(tables, (status("VmPTE")-tables0)*1024/million)
		} else {
			warm = append(warm, took)
		}
		start = time.Now()
		close(gate)
		wg.Wait()
		finish = append(finish, float64(time.Since(start).Nanoseconds())/million)
		debug.FreeOSMemory()
	}
	report("P15", "create", "ns", create)
	report("P15", "create, warm", "ns", warm)
	report("P15", "wake and finish", "ns", finish)
	report("P15", "resident, each", "B", rss)
	report("P15", "page tables, each", "B", tables)
}

const fibOf, fibIs, fibCut = 42, 267914296, 20

//go:noinline
func plainFib(n int) int64 {
	if n < 2 {
		return int64(n)
	}
	return plainFib(n-1) + plainFib(n-2)
}

// fib starts a goroutine for each number above 20 that it does not compute itself.
func fib(n int) int64 {
	if n <= fibCut {
		return plainFib(n)
	}
	left := make(chan int64, 1)
	go func() { left <- fib(n - 1) }()
	right := fib(n - 2)
	return <-left + right
}

func forkJoin() {
	timed := func(fn func(int) int64) float64 {
		start := time.Now()
		if sum := fn(fibOf); sum != fibIs {
			panic(sum)
		}
		return float64(time.Since(start))
	}
	var s []float64
	for i := 0; i < *runs; i++ {
		if *workers > 1 {
			runtime.GOMAXPROCS(1)
			one := timed(fib)
			runtime.GOMAXPROCS(*workers)
			s = append(s, one/timed(fib))
		} else {
			s = append(s, timed(fib)/timed(plainFib))
		}
	}
	if *workers > 1 {
		report("P16", "fib(42), speed-up", "x", s)
	} else {
		report("P16", "fib(42), against plain C", "ratio", s)
	}
}

var sink uint64

// compute keeps the processor busy for a while without calling anything.
func compute(steps int) {
	x := sink
	for i := 0; i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	sink = x
}

var base = time.Now()

// startLatency measures from start() until what it started has stored the time, while the caller computes on.
func startLatency(variant string, samples int, start func(stamp *int64)) {
	var us []float64
	for i := 0; i < samples; i++ {
		var stamp int64
		time.Sleep(300 * time.Microsecond) // the other worker goes to sleep
		from := time.Since(base)
		start(&stamp)
		for time.Since(base)-from < 20*time.Millisecond && atomic.LoadInt64(&stamp) == 0 {
		}
		for atomic.LoadInt64(&stamp) == 0 {
			runtime.Gosched()
		}
		us = append(us, float64(atomic.LoadInt64(&stamp)-from.Nanoseconds())/1e3)
	}
	sort.Float64s(us)
	report("P24", variant+", p50", "us", []float64{us[len(us)/2]})
	report("P24", variant+", p99", "us", []float64{us[len(us)*99/100]})
	report("P24", variant+", max", "us", []float64{us[len(us)-1]})
}

func wakeup() {
	samples := 2000
	if *quick {
		samples = 300
	}
	startLatency("go", samples, func(stamp *int64) {
		go func() { atomic.StoreInt64(stamp, int64(time.Since(base))) }()
	})
	c := make(chan *int64, 1)
	go func() {
		for stamp := range c {
			atomic.StoreInt64(stamp, int64(time.Since(base)))
		}
	}()
	startLatency("wake", samples, func(stamp *int64) { c <- stamp })
	close(c)
}

// switches sums the context switches of all threads but the caller's.
func switches() (n float64) {
	self := syscall.Gettid()
	files, _ := filepath.Glob("/proc/self/task/*/status")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil || strings.Contains(name, fmt.Sprintf("/%d/", self)) {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			var k float64
			if i := strings.Index(line, "ctxt_switches:"); i >= 0 {
				fmt.Sscan(line[i+len("ctxt_switches:"):], &k)
				n += k
			}
		}
	}
	return n
}

func cpuTime() float64 {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e3
}

// idle has a hundred goroutines parked, one asleep for an hour, and a thread of its own that looks on.
func idle() {
	span := 10 * time.Second
	if *quick {
		span = 2 * time.Second
	}
	gate := make(chan struct{})
	for i := 0; i < 100; i++ {
		go func() { <-gate }()
	}
	go time.Sleep(time.Hour)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		nap := func(d time.Duration) {
			ts := syscall.NsecToTimespec(int64(d))
			for rest := ts; syscall.Nanosleep(&rest, &rest) == syscall.EINTR; {
			}
		}
		nap(time.Second)
		s0, c0 := switches(), cpuTime()
		nap(span)
		s1, c1 := switches(), cpuTime()
		report("P26", "idle, context switches a second", "/s", []float64{(s1 - s0) / span.Seconds()})
		report("P26", "idle, CPU a second", "us/s", []float64{(c1 - c0) / span.Seconds()})
		close(done)
	}()
	<-done
	close(gate)
}
