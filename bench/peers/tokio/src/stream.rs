// SPDX-License-Identifier: MIT
//
// stream.rs - a pipeline as Tokio's users write it (P23): a stream of futures-util's, its stages fused by the compiler, in one task; and a task a stage with Tokio's channels
// between them. The work: bench/elems.h.
use crate::measure::{scale, Options};
use futures_util::stream::{self, StreamExt};
use std::future::ready;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const ELEMS: usize = 4096;
const ROOM: usize = 128;

fn map(x: u64) -> u64 {
    x.wrapping_mul(5).wrapping_add(3)
}

fn keep(x: &u64) -> bool {
    x & 7 != 0
}

fn fold(sum: u64, x: u64) -> u64 {
    sum.wrapping_add(x)
}

fn plain(source: &[u64], stages: usize) -> u64 {
    let mut sum = 0;
    'elements: for &e in source {
        let mut x = e;
        for k in 0..stages - 1 {
            if k % 2 == 0 {
                x = map(x);
            } else if !keep(&x) {
                continue 'elements;
            }
        }
        sum = fold(sum, x);
    }
    sum
}

// The filter's future is ready at once.
macro_rules! map_and_keep {
    ($s:expr) => {
        $s.map(map).filter(|x| ready(keep(x)))
    };
}

async fn streamed(source: &[u64], stages: usize) -> u64 {
    let s = stream::iter(source.iter().copied());
    let add = |sum, x| ready(fold(sum, x));
    match stages {
        1 => s.fold(0, add).await,
        3 => map_and_keep!(s).fold(0, add).await,
        _ => {
            map_and_keep!(map_and_keep!(map_and_keep!(map_and_keep!(s))))
                .map(map)
                .fold(0, add)
                .await
        }
    }
}

async fn tasks(source: &'static [u64], stages: usize) -> u64 {
    let (tx, mut last) = mpsc::channel(ROOM);
    tokio::spawn(async move {
        for &x in source {
            tx.send(x).await.unwrap();
        }
    });
    for k in 0..stages - 1 {
        let (tx, out) = mpsc::channel(ROOM);
        let mut input = std::mem::replace(&mut last, out);
        tokio::spawn(async move {
            while let Some(x) = input.recv().await {
                if k % 2 == 0 {
                    tx.send(map(x)).await.unwrap();
                } else if keep(&x) {
                    tx.send(x).await.unwrap();
                }
            }
        });
    }
    let mut sum = 0;
    while let Some(x) = last.recv().await {
        sum = fold(sum, x);
    }
    sum
}

// one(): a round, all elements once.
fn measure(o: &Options, variant: String, one: impl Fn() -> u64, want: u64) {
    o.measure("P23", &variant, |n| {
        let rounds = n / ELEMS + 1;
        let start = Instant::now();
        for _ in 0..rounds {
            assert!(one() == want, "another sum");
        }
        scale(start.elapsed(), n, rounds * ELEMS)
    });
}

pub fn row(rt: &Runtime, o: &Options) {
    let source: &'static [u64] = Vec::leak((0..ELEMS as u64).collect());
    for stages in [1, 3, 10] {
        let want = plain(source, stages);
        let name = format!("{} stage{}", stages, if stages == 1 { "" } else { "s" });
        measure(o, name.clone(), || rt.block_on(streamed(std::hint::black_box(source), stages)), want);
        measure(o, name + ", a task each, 128", || rt.block_on(tasks(source, stages)), want);
    }
}
