// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
	"time"
)

func contexts() {
	check := func(c context.Context) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for i := 0; i < n; i++ {
				if c.Err() != nil {
					panic("cancelled")
				}
			}
			return time.Since(start)
		}
	}
	measure("P27", "context check", check(context.Background()))
	below, cancel := context.WithCancel(context.Background())
	measure("P27", "context check, below the root", check(below))
	cancel()
	measure("P27", "block with a timeout", func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			func() {
				c, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if c.Err() != nil {
					panic("cancelled")
				}
			}()
		}
		return time.Since(start)
	})
	measure("P27", "cancel of 100,000 tasks, each", func(n int) time.Duration {
		const tasks = 100000
		rounds := n/tasks + 1
		silent := make(chan struct{})
		var took time.Duration
		for r := 0; r < rounds; r++ {
			c, cancel := context.WithCancel(context.Background())
			var begun, ended sync.WaitGroup
			begun.Add(tasks)
			ended.Add(tasks)
			for i := 0; i < tasks; i++ {
				go func() {
					begun.Done()
					select {
					case <-silent:
						panic("received")
					case <-c.Done():
					}
					ended.Done()
				}()
			}
			begun.Wait()
			start := time.Now()
			cancel()
			ended.Wait()
			took += time.Since(start)
		}
		return took * time.Duration(n) / time.Duration(rounds*tasks)
	})
}
