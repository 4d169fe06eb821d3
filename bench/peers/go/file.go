// SPDX-License-Identifier: MIT
//
// file.go - reading a file that the system has in memory (P58).
package main

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	fileBytes = 64 << 20
	filePiece = 4096
	fileBlock = 64 << 10
)

func mustFile(err error) {
	if err != nil {
		panic(err)
	}
}

// preads reads n pieces anywhere in f, so many goroutines together.
func preads(f *os.File, tasks int) func(int) time.Duration {
	return func(n int) time.Duration {
		var all sync.WaitGroup
		each := n/tasks + 1
		all.Add(tasks)
		start := time.Now()
		for i := 0; i < tasks; i++ {
			go func(seed uint32) {
				buf := make([]byte, filePiece)
				for k := 0; k < each; k++ {
					seed = seed*1664525 + 1013904223
					_, err := f.ReadAt(buf, int64(seed>>8)%(fileBytes/filePiece)*filePiece)
					mustFile(err)
				}
				all.Done()
			}(uint32(i) + 1)
		}
		all.Wait()
		return time.Duration(float64(time.Since(start)) * float64(n) / float64(each*tasks))
	}
}

func files() {
	f, err := os.CreateTemp("", "weft-bench")
	mustFile(err)
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, fileBlock)
	for i := range block {
		block[i] = byte(i*7 + 1)
	}
	for i := 0; i < fileBytes/fileBlock; i++ {
		_, err = f.Write(block)
		mustFile(err)
	}
	measure("P58", "4 KiB of a file, 1 task", preads(f, 1))
	measure("P58", "4 KiB of a file, 100 tasks", preads(f, 100))
	measure("P58", "64 KiB after 64 KiB", func(n int) time.Duration {
		buf := make([]byte, fileBlock)
		start := time.Now()
		for i := 0; i < n; i++ {
			_, err := f.Read(buf)
			if err == io.EOF {
				_, err = f.Seek(0, io.SeekStart)
			}
			mustFile(err)
		}
		return time.Since(start)
	})
	measure("P58", "stat, by way of a thread", func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			_, err := os.Stat("/tmp")
			mustFile(err)
		}
		return time.Since(start)
	})
	measure("P58", "stat of an open file", func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			_, err := f.Stat()
			mustFile(err)
		}
		return time.Since(start)
	})
}
