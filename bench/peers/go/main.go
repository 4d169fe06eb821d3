// SPDX-License-Identifier: MIT
//
// main.go - the rows of bench/ as a Go user would write them: arguments, calibration, one JSON line an answer.
//
// A row's work has the form func(n int) time.Duration: do n operations, return how long they took; setting up and
// tearing down stay outside. The runs are as long, and counted, as in bench/bench.h; names and variants are the same,
// so that run.py can join them.
//
//	peers-go [-workers N] [-runs N] [-quick] [-only TEXT] NAME...
//	peers-go [-workers N] [-port P] -mode echo|lazy|http|accept|sink|source
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"
)

type result struct {
	Name    string  `json:"name"`
	Variant string  `json:"variant"`
	Workers int     `json:"workers"`
	Unit    string  `json:"unit"`
	Median  float64 `json:"median"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Runs    int     `json:"runs"`
	Peer    string  `json:"peer"`
	Version string  `json:"version"`
}

var (
	workers = flag.Int("workers", 1, "GOMAXPROCS")
	runs    = flag.Int("runs", 0, "runs of each measurement (default 5, 3 with -quick)")
	quick   = flag.Bool("quick", false, "short runs")
	only    = flag.String("only", "", "measure only variants that contain this")
	mode    = flag.String("mode", "", "be a server instead: echo, lazy, http, accept, sink or source")
	port    = flag.Int("port", 0, "the server's; 0: any")
)

var rows = map[string]func(){
	"P2": yield, "P3": yield, "P4": spawn, "P5": join, "P6": rendezvous, "P7": buffered, "P8": buffered100, "P9": selects,
	"P10": mutexes, "P11": ring, "P12": skynets, "P13": timers, "P14": sleeps, "P15": parked, "P16": forkJoin, "P24": wakeup, "P25": stages, "P26": idle, "P27": contexts,
	"P30": locks,
	"P34": groups,
	"P36": futures,
	"P38": pools,
	"P60": tlsRow,
	"P23": pipelines,
	"P52": roundTrips, "P53": flows,
	"P56": datagrams,
	"P54": names,
	"P58": files,
	"P57": copies,
	"P75": admissions,
}

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	if *mode != "" {
		fmt.Fprintln(os.Stderr, "peers-go:", serve(*mode, *port))
		os.Exit(1)
	}
	if *runs == 0 {
		*runs = 5
		if *quick {
			*runs = 3
		}
	}
	for _, name := range flag.Args() {
		row, ok := rows[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "peers-go: no row %s\n", name)
			os.Exit(2)
		}
		row()
	}
}

func wanted(variant string) bool { return strings.Contains(variant, *only) }

// report prints the samples of one measurement.
func report(name, variant, unit string, samples []float64) {
	sort.Float64s(samples)
	k := len(samples)
	median := samples[k/2]
	if k%2 == 0 {
		median = (samples[k/2-1] + samples[k/2]) / 2
	}
	json.NewEncoder(os.Stdout).Encode(result{
		name, variant, *workers, unit, median, samples[0], samples[k-1], k, "go", runtime.Version(),
	})
}

// measure finds an n for which work(n) takes long enough to be believed, which warms it up, and reports nanoseconds an
// operation.
func measure(name, variant string, work func(n int) time.Duration) {
	if !wanted(variant) {
		return
	}
	target := 250 * time.Millisecond
	if *quick {
		target = 60 * time.Millisecond
	}
	n := 100
	for {
		took := work(n)
		if took >= target/4 {
			n = int(float64(n) * float64(target) / float64(took))
			break
		}
		n *= 4
	}
	if n < 1 {
		n = 1
	}
	samples := make([]float64, *runs)
	for i := range samples {
		samples[i] = float64(work(n).Nanoseconds()) / float64(n)
	}
	report(name, variant, "ns", samples)
}
