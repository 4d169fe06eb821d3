// SPDX-License-Identifier: MIT
//
// main.rs - P18 with crossbeam's ArrayQueue, of many producers and many consumers. The work is bench/queue.h's, and so are the lengths of runs; run.py pins the process to two cores,
// and the kernel spreads the two threads.
//
//     peers-crossbeam [-workers 1|2] [-runs N] [-quick] [-only TEXT] P18
use crossbeam_queue::ArrayQueue;
use std::env;
use std::hint::spin_loop;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

const CAP: usize = 1024;

struct Options {
    workers: usize,
    runs: usize,
    quick: bool,
    only: String,
}

fn check(sum: u64, n: u64) {
    assert!(sum == n * (n + 1) / 2, "what came out is not what went in");
}

fn pause() {
    for _ in 0..32 {
        spin_loop();
    }
}

// Nanoseconds for n numbers sent and received in turn.
fn in_turn(q: &ArrayQueue<u64>, n: u64) -> f64 {
    let mut sum = 0;
    let start = Instant::now();
    for i in 1..=n {
        q.push(i).unwrap();
        sum += q.pop().unwrap();
    }
    let took = start.elapsed();
    check(sum, n);
    took.as_nanos() as f64
}

// Nanoseconds for n numbers from one thread to another.
fn two(q: &Arc<ArrayQueue<u64>>, n: u64) -> f64 {
    let meet = Arc::new(Barrier::new(2));
    let (tx, there) = (q.clone(), meet.clone());
    let sender = thread::spawn(move || {
        there.wait();
        for i in 1..=n {
            while tx.push(i).is_err() {
                pause();
            }
        }
    });
    meet.wait();
    let start = Instant::now();
    let mut sum = 0;
    for _ in 0..n {
        sum += loop {
            if let Some(v) = q.pop() {
                break v;
            }
            pause();
        };
    }
    let took = start.elapsed();
    sender.join().unwrap();
    check(sum, n);
    took.as_nanos() as f64
}

fn report(o: &Options, variant: &str, unit: &str, mut s: Vec<f64>) {
    s.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let k = s.len();
    println!(
        "{{\"name\": \"P18\", \"variant\": \"{}\", \"workers\": {}, \"unit\": \"{}\", \"median\": {:.4}, \"min\": {:.4}, \"max\": {:.4}, \"runs\": {}, \
         \"peer\": \"crossbeam\", \"version\": \"{}\"}}",
        variant,
        o.workers,
        unit,
        (s[(k - 1) / 2] + s[k / 2]) / 2.0,
        s[0],
        s[k - 1],
        k,
        env!("CROSSBEAM_VERSION")
    );
}

fn usage() -> ! {
    eprintln!("usage: peers-crossbeam [-workers 1|2] [-runs N] [-quick] [-only TEXT] P18");
    std::process::exit(2);
}

fn main() {
    let mut o = Options { workers: 1, runs: 0, quick: false, only: String::new() };
    let mut args = env::args().skip(1);
    let number = |text: Option<String>| text.and_then(|t| t.parse().ok()).unwrap_or_else(|| usage());
    while let Some(name) = args.next() {
        match name.as_str() {
            "-workers" => o.workers = number(args.next()),
            "-runs" => o.runs = number(args.next()),
            "-only" => o.only = args.next().unwrap_or_else(|| usage()),
            "-quick" => o.quick = true,
            "P18" => (),
            _ => usage(),
        }
    }
    o.runs = if o.runs > 0 { o.runs } else { 5 };
    let q = Arc::new(ArrayQueue::new(CAP));
    if o.workers == 1 && "mpmc, in turn".contains(&o.only) {
        let n = if o.quick { 10_000_000 } else { 50_000_000 };
        in_turn(&q, n / 4);
        report(&o, "mpmc, in turn", "M/s", (0..o.runs).map(|_| 2e3 * n as f64 / in_turn(&q, n)).collect());
    }
    if o.workers == 2 && "mpmc, two threads".contains(&o.only) {
        let target = if o.quick { 60e6 } else { 250e6 };
        let mut n = 100;
        let took = loop {
            let took = two(&q, n);
            if took >= target / 4.0 {
                break took;
            }
            n *= 4;
        };
        n = (n as f64 * target / took) as u64 + 1;
        report(&o, "mpmc, two threads", "ns", (0..o.runs).map(|_| two(&q, n) / n as f64).collect());
    }
}
