use std::path::{Path, PathBuf};

/// The file system of the computer that is looked at: `/`, or a folder that stands for it in a test.
#[derive(Debug)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The text of a file, `path` without the leading slash; `None` when it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        std::fs::read(self.0.join(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first line of a file.
    pub fn line(&self, path: &str) -> Option<String> {
        self.text(path)?.lines().next().map(|line| line.trim().to_owned())
    }

    /// A file that holds one number, decimal or hexadecimal with `0x`.
    pub fn number(&self, path: &str) -> Option<i64> {
        let line = self.line(path)?;
        match line.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => line.parse().ok(),
        }
    }

    /// Names in a folder, sorted; none when it cannot be read.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether there is something.
    pub fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Where a symbolic link leads, as text.
    pub fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.0.join(Path::new(path))).ok()?;
        target.into_os_string().into_string().ok()
    }
}
