//! A web server on loopback that answers some requests as no good mirror does.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is answered in place of a file.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status without a file.
    Status(u16),
    /// This, whatever was asked for.
    Body(&'static str),
    /// As many bytes as the file has, but others.
    Changed,
    /// The file's first bytes, and then nothing more.
    Cut,
}

/// The server; its thread ends with the test.
pub struct Mirror {
    port: u16,
}

impl Mirror {
    /// Serves the files below `dir`, and `answers` for addresses that hold one of their texts.
    pub fn of(dir: &Path, answers: &[(&'static str, Answer)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dir, answers): (PathBuf, Arc<[_]>) = (dir.to_owned(), answers.into());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, answers) = (dir.clone(), answers.clone());
                // A client that hangs up is no concern of the server's.
                std::thread::spawn(move || answer(stream, &dir, &answers).ok());
            }
        });
        Self { port }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn answer(mut stream: TcpStream, dir: &Path, answers: &[(&'static str, Answer)]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let file = dir.join(path.trim_start_matches('/'));
    let list = || {
        let names = std::fs::read_dir(&file).ok()?.flatten();
        Some(
            names
                .map(|e| format!("<a href=\"{}/\">x</a>\n", e.file_name().to_string_lossy()))
                .collect::<String>()
                .into_bytes(),
        )
    };
    let found = std::fs::read(&file).ok().or_else(list);
    let special = answers.iter().find(|(text, _)| path.contains(text)).map(|(_, answer)| answer.clone());
    let (status, body, length) = match (special, found) {
        (Some(Answer::Status(code)), _) => (code, Vec::new(), 0),
        (Some(Answer::Body(text)), _) => (200, text.as_bytes().to_vec(), text.len()),
        (_, None) => (404, Vec::new(), 0),
        (Some(Answer::Changed), Some(body)) => (200, vec![b'x'; body.len()], body.len()),
        (Some(Answer::Cut), Some(body)) => (200, body[..body.len() / 2].to_vec(), body.len()),
        (None, Some(body)) => {
            let length = body.len();
            (200, body, length)
        }
    };
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}
