// SPDX-License-Identifier: MIT
//
// measure.rs - calibration, runs, one JSON line an answer, as in bench/bench.h.
use std::time::Duration;

pub struct Options {
    pub workers: usize,
    pub runs: usize,
    pub quick: bool,
    pub only: String,
}

impl Options {
    pub fn wanted(&self, variant: &str) -> bool {
        variant.contains(&self.only)
    }

    // The samples of one measurement.
    pub fn report(&self, row: &str, variant: &str, unit: &str, mut s: Vec<f64>) {
        if !self.wanted(variant) {
            return;
        }
        s.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let k = s.len();
        println!(
            "{{\"name\": \"{}\", \"variant\": \"{}\", \"workers\": {}, \"unit\": \"{}\", \"median\": {:.4}, \"min\": {:.4}, \"max\": {:.4}, \"runs\": {}, \
             \"peer\": \"tokio\", \"version\": \"{}\"}}",
            row,
            variant,
            self.workers,
            unit,
            (s[(k - 1) / 2] + s[k / 2]) / 2.0,
            s[0],
            s[k - 1],
            k,
            crate::VERSION
        );
    }

    // work(n) does n operations, or some more, and says how long n of them took.
    pub fn measure(&self, row: &str, variant: &str, work: impl Fn(usize) -> Duration) {
        if !self.wanted(variant) {
            return;
        }
        let target = if self.quick { 60e6 } else { 250e6 };
        let ns = |n| work(n).as_nanos() as f64;
        let mut n = 100;
        let took = loop {
            let took = ns(n);
            if took >= target / 4.0 {
                break took;
            }
            n *= 4;
        };
        n = (n as f64 * target / took) as usize + 1;
        self.report(row, variant, "ns", (0..self.runs).map(|_| ns(n) / n as f64).collect());
    }
}

// The time of n operations, from that of the `did` which were done instead.
pub fn scale(took: Duration, n: usize, did: usize) -> Duration {
    Duration::from_nanos((took.as_nanos() as f64 * n as f64 / did as f64) as u64)
}
