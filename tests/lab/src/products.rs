use std::path::{Path, PathBuf};

/// Where the things are that `xtask` built for a run.
#[derive(Debug, Clone)]
pub struct Products {
    folder: PathBuf,
}

impl Products {
    /// `folder` holds `pipewire/libpipewire-module-wireloom.so` and the programs.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder that holds the module, for PipeWire's module path.
    pub fn module_folder(&self) -> PathBuf {
        self.folder.join("pipewire")
    }

    /// A program: `wireloom-agent`, `wireloom-clock`, `wireloom`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program or library of `tests/interop` that was compiled from C.
    pub fn compiled(&self, name: &str) -> PathBuf {
        self.folder.join("interop").join(name)
    }

    /// A program that we did not write and no distribution has, built beside ours.
    pub fn tool(&self, path: &str) -> PathBuf {
        self.folder.join("../tools").join(path)
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
