//! The nodes' processes: spawn, find again, stop.

use crate::data_dir::DataDir;
use eyre::{Result, WrapErr, eyre};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(20);

/// Starts the node of a data directory. It outlives this process; its log is appended to `logs/node.log`.
pub fn spawn(folder: &DataDir) -> Result<Child> {
    let log_path = folder.log();
    fs::create_dir_all(log_path.parent().unwrap_or(folder.path()))?;
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.wrap_err_with(|| format!("cannot open {}", log_path.display()))?;
    let program = std::env::current_exe().wrap_err("cannot find this program's own file")?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"LONJA_")) {
        command.env_remove(name); // one port for all nodes would help none
    }
    let mut child = command
        .args(["node", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0) // Ctrl-C is for the parent, which stops its nodes in order
        .spawn()
        .wrap_err("cannot start a node")?;
    if let Err(error) = fs::write(pid_file(folder), child.id().to_string()) {
        child.kill()?; // nobody would find it again
        return Err(error).wrap_err("cannot write node.pid");
    }
    Ok(child)
}

/// The node's process, when it runs.
pub fn running(folder: &DataDir) -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file(folder)).ok()?.trim().parse().ok()?;
    is_node(pid, folder).then_some(pid)
}

/// Numbers are reused: the process must also be a node of this very directory, and not a dead one nobody has buried.
fn is_node(pid: u32, folder: &DataDir) -> bool {
    let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let path = folder.path().as_os_str().as_encoded_bytes();
    let mut words = words.split(|byte| *byte == 0);
    words.any(|word| word == b"--data-dir") && words.next() == Some(path)
}

/// Asks a process to stop, as Ctrl-C does.
pub fn ask_to_stop(pid: u32) -> Result<()> {
    signal(pid, Signal::TERM)
}

/// Ends a process at once.
pub fn kill(pid: u32) -> Result<()> {
    signal(pid, Signal::KILL)
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| eyre!("{pid} is no process"))?;
    match kill_process(target, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).wrap_err_with(|| format!("cannot signal process {pid}")),
    }
}

/// Waits until the process is gone; kills it when it takes too long.
pub fn wait_for_end(folder: &DataDir, pid: u32) -> Result<()> {
    let begin = Instant::now();
    let mut killed = false;
    while is_node(pid, folder) {
        if begin.elapsed() > STOP_PATIENCE && !killed {
            kill(pid)?;
            killed = true;
        }
        if begin.elapsed() > STOP_PATIENCE * 2 {
            return Err(eyre!("process {pid} does not end"));
        }
        std::thread::sleep(STEP);
    }
    match fs::remove_file(pid_file(folder)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).wrap_err("cannot remove node.pid"),
        _ => Ok(()),
    }
}

/// The last lines of the node's log, for an error message.
pub fn last_words(folder: &DataDir, lines: usize) -> String {
    let text = fs::read_to_string(folder.log()).unwrap_or_default();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn pid_file(folder: &DataDir) -> PathBuf {
    folder.path().join("node.pid")
}
