//! A running guest: QEMU as a child that cannot outlive us, and its serial console.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use regex::Regex;

use super::accel::{self, Accel};
use super::console::Transcript;
use super::qemu::{Machine, QEMU};
use super::{control, signals};
use crate::error::{HostNotReady, on};
use crate::exec::command::{code_of, quote};
use crate::host::Host;
use crate::report::Reporter;

/// How often waiting looks up: for new text, a signal, the end of the guest.
const TICK: Duration = Duration::from_millis(100);
/// How long QEMU may take to end when it is told to.
const ENDING: Duration = Duration::from_secs(5);
/// Lines of the console that a failure shows.
pub const TAIL: usize = 20;

/// A guest that runs until [`Guest::close`], or until it is dropped.
///
/// The kernel kills QEMU when the *thread* that started it ends: start a guest in the thread that
/// uses it.
#[must_use = "dropping the guest kills it"]
pub struct Guest {
    child: Option<Child>,
    input: Option<ChildStdin>,
    control: Option<UnixStream>,
    reader: Option<JoinHandle<()>>,
    console: Arc<Console>,
    /// What QEMU itself says. The file has no name.
    messages: File,
    machine: Machine,
    accel: Accel,
    may_fall_back: bool,
    typed: bool,
    /// Where the text of this start begins (a fall-back to TCG is a second start).
    start_of_text: usize,
    reporter: Reporter,
}

/// The console's text and who follows it.
#[derive(Debug)]
struct Console {
    state: Mutex<ConsoleState>,
    changed: Condvar,
}

#[derive(Debug)]
struct ConsoleState {
    transcript: Transcript,
    log: Option<File>,
    /// Copies the raw bytes to stdout: an interactive session.
    to_terminal: bool,
    last_output: Instant,
    ended: bool,
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, ConsoleState> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Guest {
    /// Starts `machine`.
    ///
    /// # Errors
    /// [`HostNotReady`] when QEMU is not installed; else when it cannot be started or ends at once.
    pub fn start(machine: Machine, reporter: &Reporter) -> Result<Self> {
        let host = Host::this();
        if !host.has(QEMU) {
            let message = format!("{QEMU} is not installed, and booting an image needs it");
            return Err(HostNotReady::new(message, host.install_hint(&[QEMU])).into());
        }
        let (accel, may_fall_back) = machine.accel.resolve(accel::kvm_opens());
        let log = match &machine.serial_log {
            Some(path) => Some(File::create(path).with_context(|| on("creating", path))?),
            None => None,
        };
        let state = ConsoleState {
            transcript: Transcript::default(),
            log,
            to_terminal: false,
            last_output: Instant::now(),
            ended: false,
        };
        let mut guest = Self {
            child: None,
            input: None,
            control: None,
            reader: None,
            console: Arc::new(Console { state: Mutex::new(state), changed: Condvar::new() }),
            messages: tempfile::tempfile().context("creating a file for QEMU's messages")?,
            machine,
            accel,
            may_fall_back,
            typed: false,
            start_of_text: 0,
            reporter: reporter.clone(),
        };
        guest.launch()?;
        Ok(guest)
    }

    fn launch(&mut self) -> Result<()> {
        let (ours, theirs) = UnixStream::pair().context("making QEMU's control channel")?;
        let mut command = Command::new(QEMU);
        command
            .args(self.machine.arguments(self.accel, theirs.as_raw_fd()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.messages.try_clone().context("duplicating a file descriptor")?);
        bind_to_us(&mut command, theirs.as_raw_fd());
        let mut child = command.spawn().with_context(|| format!("starting {}", shown(&command)))?;
        self.input = child.stdin.take();
        self.control = Some(ours);
        let output = child.stdout.take().context("QEMU has no stdout")?;
        {
            let mut state = self.console.lock();
            state.transcript.skip();
            self.start_of_text = state.transcript.text().len();
            state.last_output = Instant::now();
            state.ended = false;
        }
        let console = Arc::clone(&self.console);
        let reporter = self.reporter.clone();
        self.reader = Some(std::thread::spawn(move || follow(output, &console, &reporter)));
        self.child = Some(child);
        Ok(())
    }

    /// The accelerator in use; after a fall-back, the second one.
    pub fn accel(&self) -> Accel {
        self.accel
    }

    /// QEMU's process id, for as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Everything that the console has shown, as plain text.
    pub fn transcript(&self) -> String {
        self.console.lock().transcript.text().to_owned()
    }

    /// Types `text`, as it is.
    ///
    /// # Errors
    /// When the guest has ended.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.send_bytes(text.as_bytes())
    }

    /// Types `text` and Enter.
    ///
    /// # Errors
    /// As [`Guest::send`].
    pub fn send_line(&mut self, text: &str) -> Result<()> {
        // Enter is a carriage return: for a terminal's line discipline, for firmware and boot loaders.
        self.send(&format!("{text}\r"))
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.typed = true;
        let input = self.input.as_mut().context("the guest has ended")?;
        input.write_all(bytes).context("typing on the guest's serial console")
    }

    /// Waits until `pattern` matches text that came after the last match; gives what matched.
    ///
    /// # Errors
    /// When `timeout` is over or the guest ends first; the message holds the console's last lines.
    /// [`crate::error::Interrupted`] after a signal.
    pub fn expect(&mut self, pattern: &Regex, timeout: Duration) -> Result<String> {
        self.wait_for(&format!("/{pattern}/"), timeout, |console| console.find(pattern))
    }

    /// Waits until `look` finds something; see [`Guest::expect`].
    pub(super) fn wait_for<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut(&mut Transcript) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = {
                // What came before the end counts, so the order is: note the end, then look.
                let mut state = self.console.lock();
                let ended = state.ended;
                if let Some(found) = look(&mut state.transcript) {
                    return Ok(found);
                }
                ended
            };
            signals::check()?;
            if self.fall_back(ended)? {
                continue;
            }
            if ended {
                bail!("the guest ended while {what} was waited for{}{}", self.last_messages(), self.last_lines());
            }
            let now = Instant::now();
            if now >= deadline {
                let seconds = timeout.as_secs_f32().round();
                bail!("{what} did not appear on the serial console within {seconds} s{}", self.last_lines());
            }
            self.pause(TICK.min(deadline - now));
        }
    }

    /// Waits for new console text, at most for `time`.
    fn pause(&self, time: Duration) {
        let state = self.console.lock();
        let _unused = self.console.changed.wait_timeout(state, time).unwrap_or_else(|e| e.into_inner());
    }

    /// Starts again under TCG if KVM gets the guest nowhere; true when it did.
    pub(super) fn fall_back(&mut self, ended: bool) -> Result<bool> {
        if !self.may_fall_back || self.typed {
            return Ok(false);
        }
        let hung = {
            let state = self.console.lock();
            let text = &state.transcript.text()[self.start_of_text..];
            // QEMU that gives up at once (it may not set a register of the CPU, say) counts as well.
            let silent_for = if ended { accel::PATIENCE } else { state.last_output.elapsed() };
            accel::looks_hung(text, silent_for)
        };
        if !hung {
            return Ok(false);
        }
        let why = if ended { "QEMU ended at once" } else { "the guest hangs in early boot" };
        let messages = self.last_messages();
        self.reporter.warn(format!("{why} under KVM: starting again with TCG, which is slower{messages}"));
        self.end_child(Duration::ZERO);
        self.accel = Accel::Tcg;
        self.may_fall_back = false;
        self.messages.set_len(0).context("emptying QEMU's message file")?;
        self.launch()?;
        Ok(true)
    }

    /// The console's last lines, indented below a message.
    fn last_lines(&self) -> String {
        let lines = self.console.lock().transcript.tail(TAIL);
        if lines.is_empty() {
            return "\n    (the console is empty)".into();
        }
        lines.iter().map(|line| format!("\n    {line}")).collect()
    }

    /// What QEMU itself said, indented below a message.
    fn last_messages(&self) -> String {
        let mut bytes = [0; 2000];
        let length = self.messages.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).lines().map(|line| format!("\n    {line}")).collect()
    }

    /// Whether the guest is still there.
    ///
    /// # Errors
    /// When the kernel cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait().context("asking for QEMU's state")?.is_none()),
            None => Ok(false),
        }
    }

    /// Copies the console's bytes to stdout from now on, beginning with what has come already.
    pub(super) fn show_on_terminal(&self) {
        let mut state = self.console.lock();
        state.to_terminal = true;
        let text = state.transcript.text().replace('\n', "\r\n");
        to_stdout(text.as_bytes());
    }

    /// Presses the power button and waits until the guest is off.
    ///
    /// # Errors
    /// When it is not off in time; it is killed when dropped.
    pub fn power_off(mut self, timeout: Duration) -> Result<()> {
        if self.is_running()?
            && let Some(control) = &mut self.control
        {
            control::command(control, "system_powerdown").context("pressing the guest's power button")?;
        }
        self.wait_end(timeout)
    }

    /// Waits until the guest ends by itself (it was told to power off, say).
    ///
    /// # Errors
    /// When it is still there after `timeout`.
    pub fn wait_end(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while self.is_running()? {
            signals::check()?;
            if Instant::now() >= deadline {
                bail!("the guest did not power off within {} s{}", timeout.as_secs(), self.last_lines());
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Ends the guest without asking it, as a power cut does.
    ///
    /// # Errors
    /// When QEMU had ended before with a failure: the message holds what it said.
    pub fn close(mut self) -> Result<()> {
        let ended = match &mut self.child {
            Some(child) => child.try_wait().context("asking for QEMU's state")?,
            None => None,
        };
        self.end_child(ENDING);
        match ended {
            Some(status) if !status.success() => {
                bail!("{QEMU} ended with status {}{}", code_of(status), self.last_messages())
            }
            _ => Ok(()),
        }
    }

    /// SIGTERM, so that QEMU can write out an image that it may write; SIGKILL after `patience`.
    fn end_child(&mut self, patience: Duration) {
        self.input = None;
        self.control = None;
        let Some(mut child) = self.child.take() else { return };
        let deadline = Instant::now() + patience;
        if let Ok(pid) = i32::try_from(child.id()) {
            // No child of ours by this number can be another process: it is not reaped yet.
            let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM);
        }
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = child.kill();
        let _gone = child.wait();
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe, which nobody holds any more.
            let _panicked = reader.join();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end_child(ENDING);
    }
}

/// Makes the child die with us, and lets it inherit the control socket.
fn bind_to_us(command: &mut Command, socket: RawFd) {
    let parent = nix::unistd::getpid();
    let prepare = move || {
        upgrade_tiny::steps::machine::end_with(parent)?;
        // A terminal's Ctrl-C is for us: we end QEMU in our own way.
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
        // SAFETY: the parent keeps the descriptor open until the child is started.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
        nix::fcntl::fcntl(socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Reads the console until QEMU closes it.
fn follow(mut output: ChildStdout, console: &Console, reporter: &Reporter) {
    let mut buffer = [0; 8192];
    let mut line = String::new();
    loop {
        let length = match output.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let text = {
            let mut state = console.lock();
            state.last_output = Instant::now();
            if let Some(log) = &mut state.log {
                // A full disk must not stop the guest; the text is in memory as well.
                let _full = log.write_all(&buffer[..length]);
            }
            if state.to_terminal {
                to_stdout(&buffer[..length]);
            }
            let shown = !state.to_terminal;
            let text = state.transcript.push(&buffer[..length]);
            if shown { text.to_owned() } else { String::new() }
        };
        console.changed.notify_all();
        for piece in text.split_inclusive('\n') {
            line.push_str(piece);
            if line.ends_with('\n') {
                reporter.output(line.trim_end());
                line.clear();
            }
        }
    }
    console.lock().ended = true;
    console.changed.notify_all();
}

/// Raw bytes for the terminal of an interactive session, which is not the reporter's business.
fn to_stdout(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _closed = out.write_all(bytes).and_then(|()| out.flush());
}

/// A command line that can be pasted.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}
