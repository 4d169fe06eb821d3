// SPDX-License-Identifier: MIT
//
// main.rs - TCP echo and HTTP hello as a Tokio user writes them: a task per connection (P19, P20).
//
//     peers-tokio --mode echo|http [--workers N] [--port P]
//
// One worker: the current-thread runtime, which needs no other thread; more: the multi-thread one. Prints "port N VERSION"
// and serves until killed. HTTP: the minimal responder that every server here is but Go's (end of the headers, fixed answer).
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

async fn serve(port: u16, is_http: bool) -> io::Result<()> {
    let l = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("port {} {}", l.local_addr()?.port(), VERSION);
    loop {
        let (c, _) = l.accept().await?;
        c.set_nodelay(true)?;
        tokio::spawn(async move {
            let _ = if is_http {
                http(c).await
            } else {
                echo(c).await
            };
        });
    }
}

fn usage() -> ! {
    eprintln!("usage: peers-tokio --mode echo|http [--workers N] [--port P]");
    std::process::exit(2);
}

fn main() -> io::Result<()> {
    let (mut mode, mut workers, mut port) = (String::new(), 1, 0);
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_else(|| usage());
        match name.as_str() {
            "--mode" => mode = value,
            "--workers" => workers = value.parse().unwrap_or_else(|_| usage()),
            "--port" => port = value.parse().unwrap_or_else(|_| usage()),
            _ => usage(),
        }
    }
    if mode != "echo" && mode != "http" {
        usage();
    }
    let mut builder = if workers > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder
        .enable_io()
        .build()?
        .block_on(serve(port, mode == "http"))
}
