// SPDX-License-Identifier: MIT
//
// sched.rs - the rows of tasks that yield, end, talk, sleep and compute (P2 to P16, P24, P25), as Tokio's users write them. All of a row runs in a task: the thread that waits for it is none of the workers.
//
// Tokio has no channel without room: P6 and P11 have room for one. Its channels have one receiver: P8 is 100 to 1.
use crate::measure::{scale, Options};
use std::future::{poll_fn, Future};
use std::hint::{black_box, spin_loop};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, Mutex, Semaphore};
use tokio::task::{yield_now, JoinHandle};
use tokio::time::{sleep, Sleep};

const MILLION: usize = 1_000_000;

fn run<T: Send + 'static>(rt: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    rt.block_on(async { tokio::spawn(work).await.unwrap() })
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) {
    for t in tasks {
        t.await.unwrap();
    }
}

async fn yields(tasks: usize, n: usize) -> Duration {
    let each = n / tasks + 1;
    let start = Instant::now();
    let of = |_| {
        tokio::spawn(async move {
            for _ in 0..each {
                yield_now().await;
            }
        })
    };
    all((0..tasks).map(of).collect()).await;
    scale(start.elapsed(), n, each * tasks)
}

async fn windows(n: usize) -> Duration {
    let mut did = 0;
    let start = Instant::now();
    while did < n {
        all((0..100).map(|_| tokio::spawn(async {})).collect()).await;
        did += 100;
    }
    scale(start.elapsed(), n, did)
}

async fn million() -> f64 {
    let start = Instant::now();
    all((0..MILLION).map(|_| tokio::spawn(async {})).collect()).await;
    start.elapsed().as_nanos() as f64 / MILLION as f64
}

async fn joins(n: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        tokio::spawn(async {}).await.unwrap();
    }
    start.elapsed()
}

async fn round_trips(n: usize) -> Duration {
    let (there, mut ask) = mpsc::channel::<usize>(1);
    let (reply, mut back) = mpsc::channel::<usize>(1);
    tokio::spawn(async move {
        while let Some(v) = ask.recv().await {
            reply.send(v).await.unwrap();
        }
    });
    let start = Instant::now();
    for i in 0..n {
        there.send(i).await.unwrap();
        assert!(back.recv().await == Some(i));
    }
    start.elapsed()
}

async fn buffered(senders: usize, n: usize) -> Duration {
    let each = n / senders + 1;
    let (tx, mut rx) = mpsc::channel(128);
    let start = Instant::now();
    for _ in 0..senders {
        let tx = tx.clone();
        tokio::spawn(async move {
            for i in 0..each {
                tx.send(i).await.unwrap();
            }
        });
    }
    drop(tx);
    let mut got = 0;
    while rx.recv().await.is_some() {
        got += 1;
    }
    assert!(got == each * senders);
    scale(start.elapsed(), n, got)
}

async fn locks_alone(n: usize) -> Duration {
    let m = Mutex::new(0);
    let start = Instant::now();
    for _ in 0..n {
        *m.lock().await += 1;
    }
    start.elapsed()
}

async fn locks(n: usize) -> Duration {
    let each = n / 200 + 1;
    let m = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let of = |_| {
        let m = m.clone();
        tokio::spawn(async move {
            for _ in 0..each {
                *m.lock().await += 1;
            }
        })
    };
    all((0..200).map(of).collect()).await;
    assert!(*m.lock().await == each * 200);
    scale(start.elapsed(), n, each * 200)
}

async fn ring(n: usize) -> Duration {
    let (first, mut last) = mpsc::channel::<usize>(1);
    for _ in 0..999 {
        let (tx, rx) = mpsc::channel(1);
        let mut input = std::mem::replace(&mut last, rx);
        tokio::spawn(async move {
            while let Some(v) = input.recv().await {
                tx.send(v + 1).await.unwrap();
            }
        });
    }
    let rounds = n / 1000 + 1;
    let start = Instant::now();
    let mut v = 0;
    for _ in 0..rounds {
        first.send(v + 1).await.unwrap();
        v = last.recv().await.unwrap();
    }
    assert!(v == rounds * 1000);
    scale(start.elapsed(), n, rounds * 1000)
}

fn skynet(up: mpsc::Sender<i64>, num: i64, size: i64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut sum = num;
        if size > 1 {
            let (tx, mut down) = mpsc::channel(10);
            for i in 0..10 {
                tokio::spawn(skynet(tx.clone(), num + i * (size / 10), size / 10));
            }
            sum = 0;
            for _ in 0..10 {
                sum += down.recv().await.unwrap();
            }
        }
        up.send(sum).await.unwrap();
    })
}

async fn tree() -> f64 {
    let (tx, mut rx) = mpsc::channel(1);
    let start = Instant::now();
    tokio::spawn(skynet(tx, 0, MILLION as i64));
    assert!(rx.recv().await == Some(499_999_500_000));
    start.elapsed().as_nanos() as f64 / 1e6
}

// A timer is one once it has been asked whether its time has come.
async fn timer(after: Duration) -> Pin<Box<Sleep>> {
    let mut t = Box::pin(sleep(after));
    assert!(poll_fn(|cx| Poll::Ready(t.as_mut().poll(cx).is_pending())).await);
    t
}

// Create and stop a million, and both at once.
async fn timers() -> [f64; 3] {
    let mut x: u64 = 88172645463325252; // xorshift64 of Marsaglia
    let mut later = Vec::with_capacity(MILLION);
    for _ in 0..MILLION {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        later.push(Duration::from_nanos(3_600_000_000_000 + x % 3_600_000_000_000));
    }
    let mut live = Vec::with_capacity(MILLION);
    let t0 = Instant::now();
    for &after in &later {
        live.push(timer(after).await);
    }
    let t1 = Instant::now();
    for &after in &later {
        drop(timer(after).await);
    }
    let t2 = Instant::now();
    live.clear();
    let t3 = Instant::now();
    [t1 - t0, t3 - t2, t2 - t1].map(|d| d.as_nanos() as f64 / MILLION as f64)
}

async fn overshoots(span: Duration, n: usize) -> Vec<f64> {
    let mut us = Vec::with_capacity(n);
    for _ in 0..n {
        let start = Instant::now();
        sleep(span).await;
        us.push((start.elapsed() - span).as_nanos() as f64 / 1e3);
    }
    us.sort_by(|a, b| a.partial_cmp(b).unwrap());
    us
}

// Bytes.
fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap();
    1024.0 * line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
}

// Create and finish, nanoseconds each; bytes resident, and of page tables. The handles are what the tasks are joined by.
async fn crowd() -> [f64; 4] {
    let each = |d: Duration| d.as_nanos() as f64 / MILLION as f64;
    let gate = Arc::new(Semaphore::new(0));
    let here = Arc::new(AtomicU64::new(0));
    let (rss, tables) = (status("VmRSS:"), status("VmPTE:"));
    let mut tasks = Vec::with_capacity(MILLION);
    let start = Instant::now();
    for _ in 0..MILLION {
        let (gate, here) = (gate.clone(), here.clone());
        tasks.push(tokio::spawn(async move {
            here.fetch_add(1, Relaxed);
            assert!(gate.acquire().await.is_err());
        }));
    }
    while here.load(Relaxed) < MILLION as u64 {
        yield_now().await;
    }
    let create = start.elapsed();
    let (rss, tables) = (status("VmRSS:") - rss, status("VmPTE:") - tables);
    let start = Instant::now();
    gate.close();
    all(tasks).await;
    [each(create), each(start.elapsed()), rss / MILLION as f64, tables / MILLION as f64]
}

const FIB: u64 = 42;
const FIB_IS: u64 = 267914296;
const CUT: u64 = 20;

#[inline(never)]
fn plain(n: u64) -> u64 {
    if black_box(n) < 2 { n } else { plain(n - 1) + plain(n - 2) }
}

fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n <= CUT {
            return plain(n);
        }
        let left = tokio::spawn(fib(n - 1));
        let right = fib(n - 2).await;
        left.await.unwrap() + right
    })
}

fn computed(rt: &Runtime) -> f64 {
    let start = Instant::now();
    assert!(run(rt, fib(FIB)) == FIB_IS);
    start.elapsed().as_nanos() as f64
}

fn fork_join(rt: &Runtime, o: &Options) {
    let one = crate::runtime(1).unwrap();
    let mut s = Vec::new();
    for _ in 0..o.runs {
        if o.workers > 1 {
            s.push(computed(&one) / computed(rt));
        } else {
            let start = Instant::now();
            assert!(plain(FIB) == FIB_IS);
            let base = start.elapsed().as_nanos() as f64;
            s.push(computed(rt) / base);
        }
    }
    if o.workers > 1 {
        o.report("P16", "fib(42), speed-up", "x", s);
    } else {
        o.report("P16", "fib(42), against plain C", "ratio", s);
    }
}

// From start() until what it started has stored the time, while the caller computes on.
async fn latency(samples: usize, mut start: impl FnMut(Instant, Arc<AtomicU64>)) -> Vec<f64> {
    let base = Instant::now();
    let mut us = Vec::new();
    for _ in 0..samples {
        let stamp = Arc::new(AtomicU64::new(0));
        sleep(Duration::from_micros(300)).await; // the other worker goes to sleep
        let from = base.elapsed();
        start(base, stamp.clone());
        while base.elapsed() - from < Duration::from_millis(20) && stamp.load(Acquire) == 0 {
            spin_loop();
        }
        while stamp.load(Acquire) == 0 {
            yield_now().await;
        }
        us.push((stamp.load(Acquire) as f64 - from.as_nanos() as f64) / 1e3);
    }
    us.sort_by(|a, b| a.partial_cmp(b).unwrap());
    us
}

async fn latency_of_spawn(samples: usize) -> Vec<f64> {
    latency(samples, |base, stamp| {
        tokio::spawn(async move { stamp.store(base.elapsed().as_nanos() as u64, Release) });
    })
    .await
}

async fn latency_of_wake(samples: usize) -> Vec<f64> {
    let (tx, mut rx) = mpsc::channel::<(Instant, Arc<AtomicU64>)>(1);
    tokio::spawn(async move {
        while let Some((base, stamp)) = rx.recv().await {
            stamp.store(base.elapsed().as_nanos() as u64, Release);
        }
    });
    latency(samples, |base, stamp| tx.try_send((base, stamp)).unwrap()).await
}

fn work(mut x: u64, steps: usize) -> u64 {
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    }
    x
}

// So many steps take a microsecond here.
fn steps_us() -> usize {
    let best = (0..50).map(|i| {
        let start = Instant::now();
        black_box(work(i, 100_000));
        start.elapsed()
    });
    (100_000_000.0 / best.min().unwrap().as_nanos() as f64) as usize
}

async fn staged(steps: usize, n: usize) -> Duration {
    let (first, mut last) = mpsc::channel(16);
    for _ in 0..4 {
        let (tx, out) = mpsc::channel(16);
        let mut input = std::mem::replace(&mut last, out);
        tokio::spawn(async move {
            while let Some(x) = input.recv().await {
                tx.send(work(x, steps)).await.unwrap();
            }
        });
    }
    let start = Instant::now();
    tokio::spawn(async move {
        for i in 0..n as u64 {
            first.send(i).await.unwrap();
        }
    });
    let mut got = 0;
    while last.recv().await.is_some() {
        got += 1;
    }
    assert!(got == n);
    start.elapsed()
}

fn stages(rt: &Runtime, o: &Options) {
    let (one, steps) = (crate::runtime(1).unwrap(), steps_us());
    let n = if o.quick { 10_000 } else { 50_000 };
    let (mut s1, mut s2, mut x) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..o.runs {
        let ns = |rt| run(rt, staged(steps, n)).as_nanos() as f64 / n as f64;
        let (a, b) = (ns(&one), ns(rt));
        s1.push(a);
        s2.push(b);
        x.push(a / b);
    }
    o.report("P25", "4 stages of 1 us, capacity 16, an item, 1 worker", "ns", s1);
    o.report("P25", "4 stages of 1 us, capacity 16, an item, 2 workers", "ns", s2);
    o.report("P25", "4 stages of 1 us, capacity 16, speed-up", "x", x);
}

// The first of so many runs warms up.
fn warm(o: &Options, rt: &Runtime, row: &str, variant: &str, unit: &str, one: fn() -> Pin<Box<dyn Future<Output = f64> + Send>>) {
    if o.wanted(variant) {
        run(rt, one());
        o.report(row, variant, unit, (0..o.runs).map(|_| run(rt, one())).collect());
    }
}

// False: there is none of this name.
pub fn row(name: &str, rt: &Runtime, o: &Options) -> bool {
    match name {
        "P2" => {
            o.measure(name, "yield, 2 tasks", |n| run(rt, yields(2, n)));
            o.measure(name, "yield, 1000 tasks", |n| run(rt, yields(1000, n)));
        }
        "P3" => o.measure(name, "yield, 1000 tasks", |n| run(rt, yields(1000, n))),
        "P4" => {
            o.measure(name, "windows of 100, queued", |n| run(rt, windows(n)));
            warm(o, rt, name, "1000000 at once, queued", "ns", || Box::pin(million()));
        }
        "P5" => o.measure(name, "spawn and join", |n| run(rt, joins(n))),
        "P6" => o.measure(name, "round trip", |n| run(rt, round_trips(n))),
        "P7" => o.measure(name, "capacity 128, 1x1", |n| run(rt, buffered(1, n))),
        "P8" => o.measure(name, "capacity 128, 100x1", |n| run(rt, buffered(100, n))),
        "P10" => {
            o.measure(name, "lock and unlock, alone", |n| run(rt, locks_alone(n)));
            o.measure(name, "200 tasks contending", |n| run(rt, locks(n)));
        }
        "P11" => o.measure(name, "hop, 1000 tasks", |n| run(rt, ring(n))),
        "P12" => warm(o, rt, name, "skynet, 1000000 leaves", "ms", || Box::pin(tree())),
        "P13" => {
            run(rt, timers());
            let s: Vec<_> = (0..o.runs).map(|_| run(rt, timers())).collect();
            for (i, what) in ["create, up to 1000000 live", "stop, 1000000 live", "create and stop, 1000000 live"].iter().enumerate() {
                o.report(name, what, "ns", s.iter().map(|r| r[i]).collect());
            }
        }
        "P14" => {
            for (what, us, n) in [("100 us", 100, 2000), ("1 ms", 1000, 1000), ("10 ms", 10000, 200)] {
                let n = if o.quick { n / 4 } else { n };
                let s = run(rt, overshoots(Duration::from_micros(us), n));
                o.report(name, &format!("{}, overshoot, median", what), "us", vec![s[n / 2]]);
                o.report(name, &format!("{}, overshoot, p99", what), "us", vec![s[n * 99 / 100]]);
            }
        }
        "P15" => {
            let cold = run(rt, crowd());
            let s: Vec<_> = (0..o.runs).map(|_| run(rt, crowd())).collect();
            o.report(name, "create", "ns", vec![cold[0]]);
            o.report(name, "resident, each", "B", vec![cold[2]]);
            o.report(name, "page tables, each", "B", vec![cold[3]]);
            o.report(name, "create, warm", "ns", s.iter().map(|r| r[0]).collect());
            o.report(name, "wake and finish", "ns", s.iter().map(|r| r[1]).collect());
        }
        "P16" => fork_join(rt, o),
        "P24" => {
            let n = if o.quick { 300 } else { 1000 }; // each takes 20 ms where nobody else takes it
            for (what, s) in [("go", run(rt, latency_of_spawn(n))), ("wake", run(rt, latency_of_wake(n)))] {
                o.report(name, &format!("{}, p50", what), "us", vec![s[n / 2]]);
                o.report(name, &format!("{}, p99", what), "us", vec![s[n * 99 / 100]]);
                o.report(name, &format!("{}, max", what), "us", vec![s[n - 1]]);
            }
        }
        "P25" => stages(rt, o),
        _ => return false,
    }
    true
}
