//! `lonja account`: keys that sign transactions, in version 3 keystore files.

use crate::cli::{AccountArgs, AccountCommand, KeystoreArgs};
use crate::data_dir::DataDir;
use crate::print;
use crypto::AccountKey;
use eyre::{Result, WrapErr, eyre};
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub fn run(command: AccountCommand) -> Result<()> {
    match command {
        AccountCommand::New(args) => seal(&args, AccountKey::random()),
        AccountCommand::Import(args) => {
            let mut text = String::new();
            std::io::stdin().lock().read_line(&mut text).wrap_err("cannot read the private key from standard input")?;
            seal(&args, AccountKey::parse(&text)?)
        }
        AccountCommand::List(args) => list(&args),
    }
}

fn folder(args: &KeystoreArgs) -> PathBuf {
    args.keystore.clone().unwrap_or_else(|| DataDir::new(&args.data.data_dir).accounts())
}

fn seal(args: &AccountArgs, key: AccountKey) -> Result<()> {
    let password = password(args.password_file.as_deref())?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let path = key.seal(&folder(&args.keystore), &password, &stamp(seconds))?;
    if args.keystore.json {
        return print::json(&json!({ "address": key.address(), "file": path }));
    }
    print::line(&format!("address  {}\nfile     {}", key.address(), path.display()));
    Ok(())
}

/// The password from its file, or from the person. Never from the command line, which everybody on the machine can read.
fn password(file: Option<&Path>) -> Result<String> {
    let Some(file) = file else { return ask() };
    let text = std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().next().unwrap_or("").to_string())
}

fn ask() -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(eyre!("no terminal to ask for a password; use --password-file FILE"));
    }
    let first = read_hidden("Password: ")?;
    match first == read_hidden("Again: ")? {
        true => Ok(first),
        false => Err(eyre!("the two passwords differ; nothing was written")),
    }
}

/// Reads a line without showing it.
fn read_hidden(prompt: &str) -> Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    eprint!("{prompt}");
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &hidden)?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Now, &shown)?;
    eprintln!();
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}

/// Seconds since 1970 as geth writes them in file names.
fn stamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil-from-days, for dates after 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.000000000Z")
}

/// The addresses are read from the files' names, as geth writes them.
fn list(args: &KeystoreArgs) -> Result<()> {
    let folder = folder(args);
    let mut accounts = Vec::new();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.collect::<std::io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).wrap_err_with(|| format!("cannot read {}", folder.display())),
    };
    for entry in entries {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(address) = name.rsplit("--").next().and_then(|part| part.parse::<types::Address>().ok()) {
            accounts.push((address, path));
        }
    }
    accounts.sort();
    if args.json {
        let rows: Vec<_> = accounts.iter().map(|(address, file)| json!({ "address": address, "file": file })).collect();
        return print::json(&rows);
    }
    if accounts.is_empty() {
        print::line(&format!("no accounts in {}; make one with: lonja account new", folder.display()));
    }
    accounts.iter().for_each(|(address, file)| print::line(&format!("{address}  {}", file.display())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn stamps_are_calendar_dates() {
        assert_eq!(stamp(0), "1970-01-01T00-00-00.000000000Z");
        assert_eq!(stamp(951_827_696), "2000-02-29T12-34-56.000000000Z");
        assert_eq!(stamp(1_767_225_599), "2025-12-31T23-59-59.000000000Z");
    }
}
