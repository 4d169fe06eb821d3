// SPDX-License-Identifier: MIT
//
// main.rs - the servers of P19 to P21, P50 and P51 as a Tokio user writes them: a task per connection. The row of streams: stream.rs; tasks that talk and compute: sched.rs.
//
//     peers-tokio --mode echo|http|accept|sink|source [--workers N] [--port P]
//     peers-tokio [-workers N] [-runs N] [-quick] [-only TEXT] ROW
//
// One worker: the current-thread runtime, which needs no other thread; more: the multi-thread one. Prints "port N VERSION"
// and serves until killed. HTTP: the minimal responder that every server here is but Go's (end of the headers, fixed answer).
mod measure;
mod sched;
mod stream;

use std::env;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, World!\n";
const END: &[u8] = b"\r\n\r\n";
const VERSION: &str = env!("TOKIO_VERSION");

async fn echo(mut c: TcpStream) -> io::Result<()> {
    let mut buf = [0u8; 4096];
    loop {
        let n = c.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        c.write_all(&buf[..n]).await?;
    }
}

// Answers every request that is complete, in one write; what is left of the next one moves to the front.
async fn http(mut c: TcpStream) -> io::Result<()> {
    let mut buf = [0u8; 4096];
    let mut out: Vec<u8> = Vec::new();
    let mut have = 0;
    loop {
        let n = c.read(&mut buf[have..]).await?;
        if n == 0 {
            return Ok(());
        }
        have += n;
        let mut done = 0;
        out.clear();
        while let Some(end) = buf[done..have].windows(END.len()).position(|w| w == END) {
            done += end + END.len();
            out.extend_from_slice(REPLY);
        }
        buf.copy_within(done..have, 0);
        have -= done;
        if have == buf.len() {
            return Ok(()); // headers too long
        }
        if !out.is_empty() {
            c.write_all(&out).await?;
        }
    }
}

// Reads to the end and says how much there was.
async fn sink(mut c: TcpStream) -> io::Result<()> {
    let mut buf = vec![0u8; 65536];
    let mut all = 0u64;
    loop {
        let n = c.read(&mut buf).await?;
        if n == 0 {
            return c.write_all(&all.to_le_bytes()).await;
        }
        all += n as u64;
    }
}

// Writes until the connection breaks.
async fn source(mut c: TcpStream) -> io::Result<()> {
    let buf: Vec<u8> = (0..65536u32).map(|i| (i * 7) as u8).collect();
    loop {
        c.write_all(&buf).await?;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Echo,
    Http,
    Accept,
    Sink,
    Source,
}

async fn serve(port: u16, mode: Mode) -> io::Result<()> {
    let l = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("port {} {}", l.local_addr()?.port(), VERSION);
    loop {
        let (c, _) = l.accept().await?;
        if mode == Mode::Accept {
            continue; // c ends here
        }
        c.set_nodelay(true)?;
        // One spawn a kind: a task has the size of the largest it may become.
        match mode {
            Mode::Http => drop(tokio::spawn(http(c))),
            Mode::Sink => drop(tokio::spawn(sink(c))),
            Mode::Source => drop(tokio::spawn(source(c))),
            _ => drop(tokio::spawn(echo(c))),
        }
    }
}

fn usage() -> ! {
    eprintln!("usage: peers-tokio --mode echo|http|accept|sink|source [--workers N] [--port P]");
    eprintln!("       peers-tokio [-workers N] [-runs N] [-quick] [-only TEXT] ROW");
    std::process::exit(2);
}

fn number(text: Option<String>) -> usize {
    text.and_then(|t| t.parse().ok()).unwrap_or_else(|| usage())
}

pub fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = if workers > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

fn main() -> io::Result<()> {
    let (mut mode, mut port) = (String::new(), 0);
    let mut o = measure::Options { workers: 1, runs: 0, quick: false, only: String::new() };
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--mode" | "-mode" => mode = args.next().unwrap_or_else(|| usage()),
            "--workers" | "-workers" => o.workers = number(args.next()),
            "--port" | "-port" => port = number(args.next()) as u16,
            "-runs" => o.runs = number(args.next()),
            "-only" => o.only = args.next().unwrap_or_else(|| usage()),
            "-quick" => o.quick = true,
            _ if name.starts_with('P') => mode = name,
            _ => usage(),
        }
    }
    let rt = runtime(o.workers)?;
    let mode = match mode.as_str() {
        row if row.starts_with('P') => {
            o.runs = if o.runs > 0 { o.runs } else { 5 };
            if row == "P23" {
                stream::row(&rt, &o);
            } else if !sched::row(row, &rt, &o) {
                usage();
            }
            return Ok(());
        }
        "echo" => Mode::Echo,
        "http" => Mode::Http,
        "accept" => Mode::Accept,
        "sink" => Mode::Sink,
        "source" => Mode::Source,
        _ => usage(),
    };
    rt.block_on(serve(port, mode))
}
