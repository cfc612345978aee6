//! Small files that hold secrets: created with mode 0600, never overwritten, refused when others can read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A secret in this form is a key or a key file; anything longer is a mistake.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why a secret file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The operating system refused.
    #[error("cannot {verb} {path}", path = path.display())]
    Io {
        /// What was tried: "read", "write".
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file's mode lets others read it.
    #[error("{path} can be read by others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is too long to be a secret.
    #[error("{path} is larger than {SECRET_BYTES_MAX} bytes: not a key file", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a new secret file, durable (file and directory synced) when this returns. An existing file is an error.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<(), SecretFileError> {
    let failed = |source| SecretFileError::Io { verb: "write", path: path.into(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(secret).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Reads a secret file that only its owner can read.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, SecretFileError> {
    let failed = |source| SecretFileError::Io { verb: "read", path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Exposed { path: path.into(), mode });
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(SecretFileError::TooLarge { path: path.into() });
    }
    let mut secret = Vec::new();
    file.take(SECRET_BYTES_MAX).read_to_end(&mut secret).map_err(failed)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/secret");
        write_secret(&path, b"one").unwrap();
        assert_eq!(read_secret(&path).unwrap(), b"one");
        assert!(matches!(write_secret(&path, b"two"), Err(SecretFileError::Io { verb: "write", .. })));
        assert_eq!(read_secret(&path).unwrap(), b"one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretFileError::Exposed { mode: 0o644, .. })));
    }
}
