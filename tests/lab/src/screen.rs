use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::host::Host;
use crate::process::Process;
use crate::wait::{self, SOON};

/// Pixels between parts that still belong to one block.
const REACH: usize = 3;
/// A block has at least so many pixels on each side: smaller ones are letters and lines.
const LEAST_SIDE: usize = 20;
/// A drag moves in so many steps, as a hand does; toolkits do not notice a jump.
const STEPS: i32 = 20;

/// A screen that nobody sees, with a mouse.
#[derive(Debug)]
pub struct Screen<'a> {
    host: &'a Host,
    server: Process,
    display: String,
}

/// A rectangle of pixels, the far edges included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its left edge.
    pub left: usize,
    /// Its top.
    pub top: usize,
    /// Its right edge.
    pub right: usize,
    /// Its bottom.
    pub bottom: usize,
}

impl Block {
    /// The middle of row number `row` of `rows` that it is made of.
    pub fn row(&self, row: usize, rows: usize) -> (i32, i32) {
        let y = self.top + (self.bottom + 1 - self.top) * (2 * row + 1) / (2 * rows);
        (i32::try_from((self.left + self.right) / 2).unwrap_or(0), i32::try_from(y).unwrap_or(0))
    }
}

/// What is on a screen.
#[derive(Debug, Clone)]
pub struct Picture {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl<'a> Screen<'a> {
    /// Starts an X server on `host`.
    pub fn start(host: &'a Host) -> anyhow::Result<Self> {
        // The numbers of displays are the machine's, not the host's: the server finds a free one and says it.
        let arguments = ["-displayfd", "1", "-screen", "0", "1280x720x24", "-nolisten", "tcp"];
        let mut server = host.spawn("Xvfb", arguments)?;
        let display = wait::until("the number of the display", SOON, || {
            server.is_alive()?;
            let log = server.log();
            Ok(log
                .lines()
                .find_map(|line| line.trim().parse::<u32>().ok())
                .map(|number| format!(":{number}")))
        })?;
        Ok(Self { host, server, display })
    }

    /// A command that shows its windows here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.host.command(program);
        command.env("DISPLAY", &self.display);
        // No graphics card, no accessibility bus, no settings of a user.
        command
            .env("QT_QPA_PLATFORM", "xcb")
            .env("GDK_BACKEND", "x11")
            .env("GSK_RENDERER", "cairo")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("GTK_A11Y", "none")
            .env("GSETTINGS_BACKEND", "memory");
        command
    }

    /// What it shows now.
    pub fn picture(&mut self) -> anyhow::Result<Picture> {
        self.server.is_alive()?;
        let output = self.command("import").args(["-window", "root", "-depth", "8", "ppm:-"]).output()?;
        ensure!(output.status.success(), "import: {}", String::from_utf8_lossy(&output.stderr));
        Picture::from_ppm(&output.stdout).context("reading a picture of the screen")
    }

    /// Keeps what it shows now as a PNG file for people.
    pub fn keep(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let output = self.command("import").args(["-window", "root"]).arg(file).output()?;
        ensure!(output.status.success(), "import: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Presses the button of the mouse at one place and releases it at another.
    pub fn drag(&self, from: (i32, i32), to: (i32, i32)) -> anyhow::Result<()> {
        let mut arguments = vec!["mousemove".to_owned(), from.0.to_string(), from.1.to_string()];
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["sleep", "0.2", "mousedown", "1", "sleep", "0.2"]);
        for step in 1..=STEPS {
            let at = |from: i32, to: i32| (from + (to - from) * step / STEPS).to_string();
            add(&["mousemove", &at(from.0, to.0), &at(from.1, to.1), "sleep", "0.03"]);
        }
        add(&["sleep", "0.3", "mouseup", "1", "sleep", "0.3"]);
        self.xdotool(&arguments)
    }

    /// Clicks at a place.
    pub fn click(&self, at: (i32, i32)) -> anyhow::Result<()> {
        let place = [at.0.to_string(), at.1.to_string()];
        self.xdotool(
            &["mousemove", &place[0], &place[1], "sleep", "0.2", "click", "1", "sleep", "0.5"]
                .map(str::to_owned),
        )
    }

    /// Presses a key where the keyboard is: in an open menu, say.
    pub fn key(&self, key: &str) -> anyhow::Result<()> {
        self.xdotool(&["key", key, "sleep", "0.5"].map(str::to_owned))
    }

    fn xdotool(&self, arguments: &[String]) -> anyhow::Result<()> {
        let output = self.command("xdotool").args(arguments).output()?;
        ensure!(output.status.success(), "xdotool: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // Its socket and lock are in the machine's own folder; ended in good order it removes them.
        let _ = self.server.interrupt();
    }
}

impl Picture {
    /// Reads a binary PPM (`P6`, 8 bits).
    fn from_ppm(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut word = || {
            let end = rest.iter().position(u8::is_ascii_whitespace)?;
            let (word, tail) = rest.split_at(end);
            rest = tail.get(1..)?;
            std::str::from_utf8(word).ok().map(str::to_owned)
        };
        let (magic, width, height, depth) = (word()?, word()?, word()?, word()?);
        let (width, height): (usize, usize) = (width.parse().ok()?, height.parse().ok()?);
        let (pixels, _) = rest.as_chunks::<3>();
        (magic == "P6" && depth == "255" && width > 0 && pixels.len() == width * height)
            .then(|| Self { width, pixels: pixels.to_vec() })
    }

    /// Blocks of pixels of one kind, the leftmost first: what lies closer together than three pixels is one.
    pub fn blocks(&self, kind: impl Fn([u8; 3]) -> bool) -> Vec<Block> {
        let height = self.pixels.len() / self.width;
        let mut open: Vec<bool> = self.pixels.iter().map(|pixel| kind(*pixel)).collect();
        let mut blocks = Vec::new();
        for start in 0..open.len() {
            if !open[start] {
                continue;
            }
            let (x, y) = (start % self.width, start / self.width);
            let mut block = Block { left: x, top: y, right: x, bottom: y };
            let mut todo = vec![(x, y)];
            open[start] = false;
            while let Some((x, y)) = todo.pop() {
                block.left = block.left.min(x);
                block.right = block.right.max(x);
                block.top = block.top.min(y);
                block.bottom = block.bottom.max(y);
                for y in y.saturating_sub(REACH)..(y + REACH + 1).min(height) {
                    for x in x.saturating_sub(REACH)..(x + REACH + 1).min(self.width) {
                        if std::mem::take(&mut open[y * self.width + x]) {
                            todo.push((x, y));
                        }
                    }
                }
            }
            if block.right - block.left >= LEAST_SIDE && block.bottom - block.top >= LEAST_SIDE {
                blocks.push(block);
            }
        }
        blocks.sort_by_key(|block| block.left);
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_close_together_are_one_block_and_rows_are_found_in_it() {
        let mut bytes = b"P6\n100 60\n255\n".to_vec();
        let inside = |x, y| {
            let first = (40..70).contains(&x) && ((10..30).contains(&y) || (32..52).contains(&y));
            first || ((5..30).contains(&x) && (20..45).contains(&y)) || (x, y) == (90, 50)
        };
        for y in 0..60 {
            for x in 0..100 {
                bytes.extend(if inside(x, y) { [0, 100, 0] } else { [9, 9, 9] });
            }
        }
        let picture = Picture::from_ppm(&bytes).expect("a picture");
        let blocks = picture.blocks(|[r, g, b]| g > 50 && r < 50 && b < 50);
        let expected = [
            Block { left: 5, top: 20, right: 29, bottom: 44 },
            Block { left: 40, top: 10, right: 69, bottom: 51 },
        ];
        assert_eq!(blocks, expected);
        assert_eq!([blocks[1].row(0, 2), blocks[1].row(1, 2)], [(54, 20), (54, 41)]);
        assert!(Picture::from_ppm(&bytes[..bytes.len() - 1]).is_none(), "cut");
    }
}
