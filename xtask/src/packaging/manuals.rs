use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::{Stage, output, read};
use crate::cargo::root;

/// Programs with a page of their own, and where they are installed.
const PROGRAMS: &[(&str, &str)] = &[
    ("wireloom.1", "/usr/bin/wireloom"),
    ("wireloom-agent.1", "/usr/libexec/wireloom-agent"),
    ("wireloom-clock.8", "/usr/libexec/wireloom-clock"),
];
/// Sections of a page; each has some of them, in this order.
const SECTIONS: &[&str] = &[
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "COMMANDS",
    "JSON",
    "FILES",
    "ENVIRONMENT",
    "EXIT STATUS",
    "EXAMPLES",
    "SEE ALSO",
];

/// Compares every page with what it is about: options with `--help`, settings with what the programs know.
pub fn check(stage: &Stage) -> anyhow::Result<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, page: BTreeSet<String>, program: BTreeSet<String>| {
        for name in page.symmetric_difference(&program) {
            let only = if page.contains(name) { "only in the page" } else { "not in the page" };
            wrong.push(format!("{what}: {name} is {only}"));
        }
    };
    for (name, program) in PROGRAMS {
        let page = Page::read(name)?;
        compare_command(&page, &stage.path(program), &mut Vec::new(), &mut compare)?;
    }
    let agent = stage.path("/usr/libexec/wireloom-agent");
    compare("wireloom.conf.5", Page::read("wireloom.conf.5")?.options, agent_keys(&agent)?);
    let page = Page::read("libpipewire-module-wireloom.7")?;
    compare("libpipewire-module-wireloom.7", page.options, module_arguments()?);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count = sections()?;
    Ok(format!("{count} pages"))
}

/// Compares the options of `program path...`, then those of each command below.
fn compare_command(
    page: &Page,
    program: &Path,
    path: &mut Vec<String>,
    compare: &mut impl FnMut(&str, BTreeSet<String>, BTreeSet<String>),
) -> anyhow::Result<()> {
    let help = output(Command::new(program).args(&*path).arg("--help"))?;
    let command = path.join(" ");
    let mut options = help_options(&help);
    if path.is_empty() {
        compare(&page.name, page.options.clone(), options);
    } else if let Some((_, known)) = page.commands.iter().find(|(name, _)| *name == command) {
        options.retain(|option| !page.options.contains(option)); // those of every command are said once
        compare(&format!("{} {command}", page.name), known.clone(), options);
    }
    let below = help_commands(&help);
    if path.is_empty() {
        let prefixed = |name: &String| page.commands.iter().any(|(c, _)| c.split(' ').next() == Some(name));
        let known: BTreeSet<String> = below.iter().filter(|name| prefixed(name)).cloned().collect();
        compare(&format!("commands of {}", page.name), known, below.clone());
        for (name, _) in &page.commands {
            let first = name.split(' ').next().unwrap_or_default();
            ensure!(below.contains(first), "{}: there is no command {name}", page.name);
        }
    } else if below.is_empty() && !page.commands.iter().any(|(name, _)| *name == command) {
        bail!("{}: the command {command} is not in the page", page.name);
    }
    for name in below {
        path.push(name);
        compare_command(page, program, path, compare)?;
        path.pop();
    }
    Ok(())
}

/// What a page says that a program can be asked about.
struct Page {
    name: String,
    /// Terms of the section OPTIONS.
    options: BTreeSet<String>,
    /// Subsections of COMMANDS by the words of the command, with the options in them.
    commands: Vec<(String, BTreeSet<String>)>,
}

impl Page {
    fn read(name: &str) -> anyhow::Result<Self> {
        let text = read(&root().join("man").join(format!("{name}.scd")))?;
        let mut page = Self { name: name.to_owned(), options: BTreeSet::new(), commands: Vec::new() };
        let mut section = "";
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("# ") {
                section = title;
            } else if let (Some(title), "COMMANDS") = (line.strip_prefix("## "), section) {
                let words = title.split([' ', '*']).take_while(|word| !word.starts_with(['[', '_']));
                let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                page.commands.push((words.join(" "), BTreeSet::new()));
            } else if line.starts_with('*') {
                let terms = bold(line).into_iter().map(str::to_owned);
                match (section, page.commands.last_mut()) {
                    ("OPTIONS", _) if line.starts_with("*-") => {
                        page.options.extend(terms.filter(|term| term.starts_with('-')));
                    }
                    ("OPTIONS", _) => page.options.extend(terms.take(1)),
                    ("COMMANDS", Some((_, options))) => {
                        options.extend(terms.filter(|term| term.starts_with('-')));
                    }
                    _ => {}
                }
            }
        }
        Ok(page)
    }
}

/// The texts between asterisks.
fn bold(line: &str) -> Vec<&str> {
    line.split('*').skip(1).step_by(2).collect()
}

/// Options that a text of clap's lists: `-v, --verbose...  Say more`.
fn help_options(help: &str) -> BTreeSet<String> {
    let is_option =
        |line: &&str| line.trim_start().starts_with('-') && line.len() - line.trim_start().len() <= 6;
    help.lines()
        .filter(is_option)
        .filter_map(|line| line.trim_start().split("  ").next())
        .flat_map(|terms| terms.split([' ', ',', '=', '[']))
        .filter(|term| term.starts_with('-'))
        .map(|term| term.trim_end_matches('.').to_owned())
        .collect()
}

/// Commands that a text of clap's lists.
fn help_commands(help: &str) -> BTreeSet<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    list.take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Keys of `wireloom.conf`, as the agent prints them.
pub fn agent_keys(agent: &Path) -> anyhow::Result<BTreeSet<String>> {
    let printed =
        output(Command::new(agent).arg("--check-config").env("WIRELOOM_CONFIG_DIR", "/nonexistent"))?;
    let key = |line: &str| {
        let unset = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set"));
        unset.or_else(|| line.split_once(" = ").map(|(key, _)| key)).map(str::to_owned)
    };
    Ok(printed.lines().filter_map(key).collect())
}

/// Arguments of the module, by its example, which the module's own tests read.
fn module_arguments() -> anyhow::Result<BTreeSet<String>> {
    let text = read(&root().join("pw-module/example-arguments.conf"))?;
    let top = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    Ok(top.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect())
}

/// Sections come in the usual order, and pages refer to pages of ours that exist; returns how many pages there are.
fn sections() -> anyhow::Result<usize> {
    let folder = root().join("man");
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some((page, _)) = name.split_once(".scd") {
            pages.push((page.to_owned(), name));
        }
    }
    for (page, file) in &pages {
        let text = read(&folder.join(file))?;
        let titles: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        let mut order = SECTIONS.iter();
        for title in &titles {
            ensure!(order.any(|known| known == title), "{page}: section {title} is unknown or out of order");
        }
        ensure!(titles.first() == Some(&"NAME"), "{page}: the first section is NAME");
        for reference in text.split('*').filter(|term| term.contains("wireloom") && !term.contains(' ')) {
            let after = text.split(&format!("*{reference}*(")).nth(1).and_then(|rest| rest.split(')').next());
            if let Some(number) = after.filter(|number| number.len() == 1) {
                let wanted = format!("{reference}.{number}");
                ensure!(pages.iter().any(|(name, _)| *name == wanted), "{page}: there is no page {wanted}");
            }
        }
    }
    pages.first().context("there are no manual pages")?;
    Ok(pages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_commands_of_help_are_found() {
        let help = "Does.\n\nUsage: x [OPTIONS]\n\nCommands:\n  inspect  Read\n  list     Show\n               - more\n  help     Print\n\n\
                    Options:\n  -v, --verbose...\n          - not an option\n      --page <PATH>  Here [default: --]\n";
        assert_eq!(help_options(help), ["-v", "--verbose", "--page"].map(str::to_owned).into());
        assert_eq!(help_commands(help), ["inspect", "list"].map(str::to_owned).into());
    }
}
