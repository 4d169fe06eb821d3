// SPDX-License-Identifier: MIT
//
// admit.go - P75: a bulkhead, an adaptive limit, a breaker, credits and retries as they are written in Go: a mutex, counters, and a list of channels to wait upon.
package main

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"
)

type waiting struct {
	n     int64
	ready chan struct{}
}

// gate is a weighted semaphore with a line: first come first served.
type gate struct {
	mu   sync.Mutex
	free int64
	line list.List
}

func (g *gate) acquire(ctx context.Context, n int64) error {
	g.mu.Lock()
	if g.free >= n && g.line.Len() == 0 {
		g.free -= n
		g.mu.Unlock()
		return ctx.Err()
	}
	w := waiting{n, make(chan struct{})}
	at := g.line.PushBack(w)
	g.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		select {
		case <-w.ready:
			g.free += n
		default:
			g.line.Remove(at)
		}
		g.deal()
		return ctx.Err()
	}
}

func (g *gate) deal() {
	for e := g.line.Front(); e != nil; e = g.line.Front() {
		w := e.Value.(waiting)
		if w.n > g.free {
			return
		}
		g.free -= w.n
		g.line.Remove(e)
		close(w.ready)
	}
}

func (g *gate) release(n int64) {
	g.mu.Lock()
	g.free += n
	g.deal()
	g.mu.Unlock()
}

// bulkhead counts beside it.
type bulkhead struct {
	gate
	admitted uint64
	most     int64
}

func (b *bulkhead) enter(ctx context.Context) error {
	b.mu.Lock()
	if b.free > 0 && b.line.Len() == 0 {
		b.free--
		b.admitted++
		if in := 10 - b.free; in > b.most {
			b.most = in
		}
		b.mu.Unlock()
		return ctx.Err()
	}
	b.mu.Unlock()
	return b.acquire(ctx, 1)
}

// limit is additive increase, multiplicative decrease on the average latency, once a round.
type limit struct {
	gate
	size, in, n int64
	ema, target time.Duration
}

func (l *limit) enter(ctx context.Context) (time.Time, error) {
	if err := l.acquire(ctx, 1); err != nil {
		return time.Time{}, err
	}
	return time.Now(), nil
}

func (l *limit) leave(began time.Time) {
	took := time.Since(began)
	l.mu.Lock()
	if in := l.size/1024 - l.free; in > l.in {
		l.in = in
	}
	l.ema += (took - l.ema) / 8
	l.n++
	if l.n >= l.size/1024 {
		was := l.size / 1024
		if l.ema > l.target {
			l.size = l.size * 80 / 100
		} else if 2*l.in >= was {
			l.size += 1024
		}
		l.free += l.size/1024 - was
		l.n, l.in = 0, 0
	}
	l.free++
	l.deal()
	l.mu.Unlock()
}

// breaker opens after so many failures in a row, or half of the last hundred.
type breaker struct {
	mu                           sync.Mutex
	open                         bool
	until                        time.Time
	ring                         [100]byte
	at, calls, failed, row, made int
}

func (b *breaker) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open && time.Now().Before(b.until) {
		return false
	}
	b.made++
	return true
}

func (b *breaker) leave(ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot := &b.ring[b.at]
	if *slot != 0 {
		b.calls--
	}
	if *slot == 2 {
		b.failed--
	}
	*slot = 1
	b.row++
	if ok {
		b.row = 0
	} else {
		*slot = 2
		b.failed++
	}
	b.calls++
	if b.at++; b.at == len(b.ring) {
		b.at = 0
	}
	if b.row >= 5 || (b.calls >= 10 && b.failed*2 >= b.calls) {
		b.open, b.until = true, time.Now().Add(time.Second)
	}
}

func retry(ctx context.Context, tries int, fn func() error) (err error) {
	for k := 0; k < tries && ctx.Err() == nil; k++ {
		if err = fn(); err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond << k):
		case <-ctx.Done():
		}
	}
	return err
}

//go:noinline
func goesWell() error { return nil }

func admissions() {
	ctx := context.Background()
	measure("P75", "bulkhead, alone", func(n int) time.Duration {
		b := bulkhead{gate: gate{free: 10}}
		start := time.Now()
		for i := 0; i < n; i++ {
			b.enter(ctx)
			b.release(1)
		}
		return time.Since(start)
	})
	measure("P75", "bulkhead of 10, 200 tasks", func(n int) time.Duration {
		b := bulkhead{gate: gate{free: 10}}
		return all(n, func(_, each int) {
			for i := 0; i < each; i++ {
				b.enter(ctx)
				runtime.Gosched()
				b.release(1)
			}
		})
	})
	measure("P75", "adaptive limit, alone", func(n int) time.Duration {
		l := limit{gate: gate{free: 20}, size: 20 * 1024, target: time.Second}
		start := time.Now()
		for i := 0; i < n; i++ {
			began, _ := l.enter(ctx)
			l.leave(began)
		}
		return time.Since(start)
	})
	measure("P75", "breaker, alone", func(n int) time.Duration {
		var b breaker
		start := time.Now()
		for i := 0; i < n; i++ {
			if b.enter() {
				b.leave(true)
			}
		}
		return time.Since(start)
	})
	measure("P75", "credit, taken and granted", func(n int) time.Duration {
		g := gate{free: 10}
		start := time.Now()
		for i := 0; i < n; i++ {
			g.acquire(ctx, 1)
			g.release(1)
		}
		return time.Since(start)
	})
	measure("P75", "retry, the first try goes well", func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			retry(ctx, 3, goesWell)
		}
		return time.Since(start)
	})
}
