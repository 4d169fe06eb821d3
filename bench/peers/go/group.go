// SPDX-License-Identifier: MIT
//
// group.go - goroutines that end together, and cancel each other when one fails: what errgroup is, which is not in the standard library.
package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

type group struct {
	wg     sync.WaitGroup
	once   sync.Once
	err    error
	cancel context.CancelFunc
	room   chan struct{} // nil: no limit
}

func newGroup(max int) (*group, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}
	if max > 0 {
		g.room = make(chan struct{}, max)
	}
	return g, ctx
}

func (g *group) start(f func() error) {
	if g.room != nil {
		g.room <- struct{}{}
	}
	g.wg.Add(1)
	go func() {
		defer func() {
			if g.room != nil {
				<-g.room
			}
			g.wg.Done()
		}()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) wait() error {
	g.wg.Wait()
	g.cancel()
	return g.err
}

func groups() {
	const children = 100
	succeed := func() error { return nil }
	hundred := func(max int) func(int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for done := 0; done < n; done += children {
				g, _ := newGroup(max)
				for i := 0; i < children; i++ {
					g.start(succeed)
				}
				if g.wait() != nil {
					panic("group")
				}
			}
			return time.Since(start) * time.Duration(n) / time.Duration((n+children-1)/children*children)
		}
	}
	failed := errors.New("failed")
	measure("P34", "100 children", hundred(0))
	measure("P34", "100 children, 10 at a time", hundred(10))
	measure("P34", "100 children, 99 wait, one fails", func(n int) time.Duration {
		start := time.Now()
		for done := 0; done < n; done += children {
			g, ctx := newGroup(0)
			for i := 1; i < children; i++ {
				g.start(func() error {
					<-ctx.Done()
					return ctx.Err()
				})
			}
			g.start(func() error { return failed })
			if g.wait() != failed {
				panic("group")
			}
		}
		return time.Since(start) * time.Duration(n) / time.Duration((n+children-1)/children*children)
	})
}
