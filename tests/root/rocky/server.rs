//! A small HTTP server on loopback that remembers what it was asked for. As a proxy it answers for every host.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// It ends with the test program.
pub struct Server {
    url: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves the files below `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, None)
    }

    /// As [`Server::start`], but the answer to a request with `word` in it never comes; the receiver is told of the
    /// request.
    pub fn start_stuck_at(dir: &Path, word: &'static str) -> (Self, Receiver<()>) {
        let (sender, receiver) = channel();
        (Self::start_with(dir, Some((word, sender))), receiver)
    }

    fn start_with(dir: &Path, stuck: Option<(&'static str, Sender<()>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (dir, seen) = (dir.to_owned(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, seen, stuck) = (dir.clone(), Arc::clone(&seen), stuck.clone());
                std::thread::spawn(move || answer(&stream, &dir, &seen, stuck));
            }
        });
        Self { url, lines }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first lines of the requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

/// Answers one request, and closes.
fn answer(stream: &TcpStream, dir: &Path, seen: &Mutex<Vec<String>>, stuck: Option<(&str, Sender<()>)>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(line) = lines.next() else { return };
    lines.find(String::is_empty);
    seen.lock().unwrap().push(line.clone());
    if let Some((word, sender)) = stuck
        && line.contains(word)
    {
        sender.send(()).ok();
        std::thread::sleep(Duration::from_secs(600));
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let content = file_of(dir, target).and_then(|file| std::fs::read(file).ok());
    let status = if content.is_some() { "200 OK" } else { "404 Not Found" };
    let content = content.unwrap_or_default();
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)).ok();
}

/// The file of `/path`, or of `http://any.host/path` as a proxy is asked.
fn file_of(dir: &Path, target: &str) -> Option<PathBuf> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.split_once('/')?.1,
        None => target.strip_prefix('/')?,
    };
    Some(dir.join(path))
}
