//! What the code's structure promises, checked on its text: which folder of the core may use which,
//! that the core does no I/O, and that nothing unfinished lands.

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

/// The core's folders, bottom to top: each uses only itself and what stands before it.
const ORDER: [&str; 12] = [
    "error",
    "env",
    "types",
    "index",
    "storage",
    "segment",
    "txn",
    "catalog",
    "query",
    "pg_catalog",
    "sql",
    "session",
];

/// What a sans-IO engine never names, apart from its tests.
const FORBIDDEN: [&str; 12] = [
    "tokio::",
    "std::fs",
    "std::net",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "rand::random",
    "thread_rng",
    "std::process",
    "std::env::",
    "println!",
    "eprintln!",
];

/// What does not land. Written apart so that this file does not find itself.
const UNFINISHED: [&str; 7] = [
    concat!("todo", "!("),
    concat!("unimpl", "emented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("dbg", "!("),
    concat!("/wo", "rk/"),
];

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("structure::core_depends_downwards", depends_downwards),
        Trial::test("structure::core_is_sans_io", sans_io),
        Trial::test("structure::nothing_unfinished", nothing_unfinished),
        Trial::test("structure::files_say_what_they_are", documented),
    ]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<(), Failed> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !matches!(&*name, "target" | "node_modules" | ".git" | "__pycache__") {
                sources(&path, extension, found)?;
            }
        } else if name.ends_with(extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// Lines with their numbers, without tests and without comments.
fn code(path: &Path) -> Result<Vec<(usize, String)>, Failed> {
    let text = std::fs::read_to_string(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.components().any(|c| c.as_os_str() == "tests")
    {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // Tests stand at the end of a file, or in a file of their own.
            let rest = text.lines().nth(number + 1).unwrap_or_default();
            if !rest.trim_end().ends_with(';') {
                break;
            }
            continue;
        }
        let line = line.split("//").next().unwrap_or_default();
        lines.push((number + 1, line.to_owned()));
    }
    Ok(lines)
}

fn verdict(findings: Vec<String>) -> Result<(), Failed> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(format!("{} findings\n{}", findings.len(), findings.join("\n")).into())
}

fn core_sources() -> Result<Vec<(PathBuf, PathBuf)>, Failed> {
    let base = root().join("core/src");
    let mut files = Vec::new();
    sources(&base, ".rs", &mut files)?;
    let short = |file: PathBuf| (file.strip_prefix(&base).unwrap_or(&file).to_owned(), file);
    Ok(files.into_iter().map(short).collect())
}

fn depends_downwards() -> Result<(), Failed> {
    let mut findings = Vec::new();
    for (short, file) in core_sources()? {
        let folder = short
            .components()
            .next()
            .map(|c| c.as_os_str().to_string_lossy().into_owned());
        let folder = folder.unwrap_or_default();
        let folder = folder.trim_end_matches(".rs");
        let Some(own) = ORDER.iter().position(|&known| known == folder) else {
            if folder != "lib" {
                findings.push(format!(
                    "{}: a folder that the order does not know",
                    short.display()
                ));
            }
            continue;
        };
        for (number, line) in code(&file)? {
            for used in used_folders(&line) {
                if ORDER
                    .iter()
                    .position(|&known| known == used)
                    .is_some_and(|other| other > own)
                {
                    findings.push(format!(
                        "{}:{number}: {folder} uses {used}",
                        short.display()
                    ));
                }
            }
        }
    }
    verdict(findings)
}

/// The folders that a line names as `crate::folder` or `crate::{folder…`.
fn used_folders(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for part in line.split("crate::").skip(1) {
        let names = part.strip_prefix('{').map_or(part, |list| list);
        for name in names.split(',') {
            let word: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            used.push(word);
            if !part.starts_with('{') {
                break;
            }
        }
    }
    used
}

fn sans_io() -> Result<(), Failed> {
    let mut findings = Vec::new();
    for (short, file) in core_sources()? {
        for (number, line) in code(&file)? {
            for word in FORBIDDEN {
                if line.contains(word) {
                    findings.push(format!("{}:{number}: {word}", short.display()));
                }
            }
        }
    }
    verdict(findings)
}

fn nothing_unfinished() -> Result<(), Failed> {
    let mut files = Vec::new();
    for extension in [".rs", ".py", ".sh", ".mjs", ".toml", ".slt"] {
        sources(&root(), extension, &mut files)?;
    }
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for (number, line) in text.lines().enumerate() {
            for word in UNFINISHED {
                if line.contains(word) {
                    let place = file.strip_prefix(root()).unwrap_or(&file).display();
                    findings.push(format!("{place}:{}: {word}", number + 1));
                }
            }
        }
    }
    verdict(findings)
}

fn documented() -> Result<(), Failed> {
    let mut files = Vec::new();
    for folder in [
        "core/src",
        "host-native/src",
        "host-wasm/src",
        "tests/src",
        "tests/tests",
        "benches",
    ] {
        sources(&root().join(folder), ".rs", &mut files)?;
    }
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let name = file.file_name().unwrap_or_default();
        if !text.is_empty() && !text.starts_with("//!") && name != "tests.rs" {
            let place = file.strip_prefix(root()).unwrap_or(&file).display();
            findings.push(format!("{place}: no opening comment"));
        }
    }
    verdict(findings)
}
