// SPDX-License-Identifier: MIT
//
// stream.go - a pipeline as Go's users write it (P23): a goroutine a stage, channels between them. The work: bench/elems.h.
package main

import (
	"fmt"
	"time"
)

const elems = 4096

func elemMap(x uint64) uint64 { return x*5 + 3 }
func elemKeep(x uint64) bool  { return x&7 != 0 }

func mapStage(in <-chan uint64, room int) <-chan uint64 {
	out := make(chan uint64, room)
	go func() {
		for x := range in {
			out <- elemMap(x)
		}
		close(out)
	}()
	return out
}

func filterStage(in <-chan uint64, room int) <-chan uint64 {
	out := make(chan uint64, room)
	go func() {
		for x := range in {
			if elemKeep(x) {
				out <- x
			}
		}
		close(out)
	}()
	return out
}

// throughStages sends the elements through so many stages, of which the fold is the last.
func throughStages(source []uint64, stages, room int) uint64 {
	first := make(chan uint64, room)
	go func() {
		for _, x := range source {
			first <- x
		}
		close(first)
	}()
	var last <-chan uint64 = first
	for k := 0; k < stages-1; k++ {
		if k%2 == 0 {
			last = mapStage(last, room)
		} else {
			last = filterStage(last, room)
		}
	}
	sum := uint64(0)
	for x := range last {
		sum += x
	}
	return sum
}

func plainSum(source []uint64, stages int) uint64 {
	sum := uint64(0)
elements:
	for _, x := range source {
		for k := 0; k < stages-1; k++ {
			if k%2 == 0 {
				x = elemMap(x)
			} else if !elemKeep(x) {
				continue elements
			}
		}
		sum += x
	}
	return sum
}

func pipelines() {
	source := make([]uint64, elems)
	for i := range source {
		source[i] = uint64(i)
	}
	for _, stages := range []int{1, 3, 10} {
		want := plainSum(source, stages)
		through := func(room int) func(int) time.Duration {
			return func(n int) time.Duration {
				rounds := n/elems + 1
				start := time.Now()
				for i := 0; i < rounds; i++ {
					if throughStages(source, stages, room) != want {
						panic("another sum")
					}
				}
				return time.Duration(float64(time.Since(start)) * float64(n) / float64(rounds*elems))
			}
		}
		name := fmt.Sprintf("%d stages", stages)
		if stages == 1 {
			name = "1 stage"
		}
		measure("P23", name, through(128))
		measure("P23", name+", a task each, unbuffered", through(0))
	}
}
